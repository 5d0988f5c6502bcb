//! A request's body in pieces of a bounded size.
//!
//! A TLS stream takes no list of buffers (`is_write_vectored`), so hyper copies each piece into the
//! connection's write buffer (`WriteStrategy::Flatten` in its `h1/io.rs`), which grows with the largest
//! one and keeps that size while the connection lives.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// The rest of a body.
pub(crate) struct Frames {
    rest: Bytes,
    frame_max: usize,
}

impl Frames {
    /// Hands out a body in pieces of at most `frame_max` bytes, which is not 0.
    pub(crate) fn new(body: Bytes, frame_max: usize) -> Self {
        Self {
            rest: body,
            frame_max,
        }
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(self.frame_max);
        let frame = self.rest.split_to(length);
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn pieces_are_bounded_and_together_the_body() {
        for (frame_max, expected) in [(4, &[4, 4, 2][..]), (5, &[5, 5]), (usize::MAX, &[10])] {
            let mut frames = Frames::new(Bytes::from_static(b"0123456789"), frame_max);
            assert_eq!(frames.size_hint().exact(), Some(10));
            let mut lengths = Vec::new();
            let mut body = Vec::new();
            while let Some(Ok(frame)) = frames.frame().await {
                let data = frame.into_data().expect("data");
                lengths.push(data.len());
                body.extend_from_slice(&data);
                assert_eq!(frames.is_end_stream(), body.len() == 10);
            }
            assert_eq!(lengths, expected);
            assert_eq!(body, b"0123456789");
        }
        assert!(Frames::new(Bytes::new(), 4).is_end_stream());
    }
}
