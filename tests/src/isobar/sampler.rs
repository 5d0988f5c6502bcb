//! Watches the accounting of a running program: at every sample each record must be somewhere.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::http;

/// How often the accounting is asked for: often enough to meet batches at every stage of their way,
/// seldom enough to cost the program nothing.
const INTERVAL: Duration = Duration::from_millis(200);

/// The same until the first answer: a run of a few records is over in less than the other interval.
const FIRST_INTERVAL: Duration = Duration::from_millis(20);

/// A thread that asks for `/accounting` every 200 ms once it is answered. Dropping it without
/// [`finish`](Self::finish) ends it and forgets what it saw.
#[derive(Debug)]
pub struct Sampler {
    stop: SyncSender<()>,
    thread: JoinHandle<Result<Samples>>,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Samples {
    /// Answers in which every `difference` was 0.
    pub good: u64,
    /// Times without an answer, as while the program is down on purpose.
    pub unanswered: u64,
}

impl Sampler {
    /// Starts sampling the program at this HTTP address.
    pub fn start(address: &str) -> Result<Self> {
        let address = address.to_owned();
        let (stop, stopped) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("sampler".into())
            .spawn(move || {
                let mut samples = Samples::default();
                loop {
                    match http::get(&address, "/accounting").and_then(|answer| answer.json()) {
                        Ok(accounting) => {
                            check(&accounting)?;
                            samples.good += 1;
                        }
                        Err(_) => samples.unanswered += 1,
                    }
                    let interval = match samples.good {
                        0 => FIRST_INTERVAL,
                        _ => INTERVAL,
                    };
                    match stopped.recv_timeout(interval) {
                        Err(RecvTimeoutError::Timeout) => {}
                        Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(samples),
                    }
                }
            })?;
        Ok(Self { stop, thread })
    }

    /// Ends the sampling. Fails when a sample did not add up, or when there was none at all.
    pub fn finish(self) -> Result<Samples> {
        drop(self.stop);
        let samples = self.thread.join().expect("the sampler does not panic")?;
        if samples.good == 0 {
            bail!(
                "the accounting was never seen ({} times unanswered)",
                samples.unanswered
            );
        }
        Ok(samples)
    }
}

/// Fails unless there is a `difference` somewhere and each is the number 0.
fn check(accounting: &Value) -> Result<()> {
    let mut found = 0;
    let first_bad = search(accounting, &mut found);
    if let Some(place) = first_bad {
        bail!("the accounting does not add up at {place}: {accounting}");
    }
    if found == 0 {
        bail!("the accounting states no difference: {accounting}");
    }
    Ok(())
}

/// The path of the first `difference` that is not 0; counts all that are.
fn search(value: &Value, found: &mut u64) -> Option<String> {
    let below = |name: String, inner: &Value, found: &mut u64| {
        search(inner, found).map(|place| format!("{name}.{place}"))
    };
    match value {
        Value::Object(fields) => fields.iter().find_map(|(name, inner)| {
            if name != "difference" {
                return below(name.clone(), inner, found);
            }
            *found += 1;
            (inner.as_i64() != Some(0)).then(|| format!("difference = {inner}"))
        }),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(place, inner)| below(place.to_string(), inner, found)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use serde_json::json;

    use super::*;

    /// Answers one connection after the other with these bodies; the thread ends when the last
    /// is out.
    fn serve(bodies: Vec<Value>) -> (String, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let thread = std::thread::spawn(move || {
            for body in bodies {
                let (stream, _) = listener.accept().expect("the sampler connects");
                let mut lines = BufReader::new(&stream).lines();
                while !lines.next().expect("a head").expect("text").is_empty() {}
                write!(&stream, "HTTP/1.1 200 OK\r\n\r\n{body}").expect("the sampler reads");
            }
        });
        (address, thread)
    }

    #[test]
    fn samples_that_add_up_are_counted() {
        let good = json!({"spouts": [{"partitions": {"0": {"read": 5, "delivered": 5, "difference": 0}}}]});
        let (address, served) = serve(vec![good.clone(), good]);
        let sampler = Sampler::start(&address).expect("a thread");
        served.join().expect("both were asked for");
        // An exchange under way is finished before the sampler looks whether to stop.
        assert_eq!(sampler.finish().expect("all add up").good, 2);
    }

    #[test]
    fn a_difference_fails_with_its_place() {
        let bad = json!({"spouts": [{"difference": 0}, {"difference": -3}]});
        let (address, served) = serve(vec![bad]);
        let sampler = Sampler::start(&address).expect("a thread");
        served.join().expect("it was asked for");
        let error = sampler
            .finish()
            .expect_err("3 records are missing")
            .to_string();
        assert!(error.contains("spouts.1.difference = -3"), "{error}");
    }

    #[test]
    fn accounting_that_states_nothing_is_no_proof() {
        let _ = check(&json!({})).expect_err("no difference");
        let _ = check(&json!({"difference": null})).expect_err("unknown is not 0");
        check(&json!({"difference": 0})).expect("it adds up");
    }

    #[test]
    fn a_program_that_never_answers_is_no_proof() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        drop(listener);
        let error = Sampler::start(&address)
            .expect("a thread")
            .finish()
            .expect_err("nothing was seen");
        assert!(error.to_string().contains("never seen"), "{error}");
    }
}
