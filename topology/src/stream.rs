//! The named outputs of a spout or bolt.

/// An output of an operator: an index into the streams that it declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stream(u8);

impl Stream {
    /// The default output, `out`.
    pub const OUT: Stream = Stream(0);
    /// Records that can never succeed, `rejected`.
    pub const REJECTED: Stream = Stream(1);
    /// Most outputs of one operator, `out` and `rejected` included.
    pub const MAX: usize = 200;

    /// The n-th output that an operator declared besides `out` and `rejected`, from 0.
    pub fn declared(n: usize) -> Option<Stream> {
        let index = n + 2;
        (index < Self::MAX).then_some(Stream(index as u8))
    }

    /// The stream at a position that [`Stream::index`] gave.
    pub(crate) fn at(index: usize) -> Stream {
        debug_assert!(index < Self::MAX);
        Stream(index as u8)
    }

    /// The position in the list `out`, `rejected`, declared outputs.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}
