//! Records good and bad, and a spout that hands them out.

use std::collections::VecDeque;
use std::sync::Arc;

use isobar_topology::{
    AnySpout, ArenaBuilder, MakeSpout, Next, OperatorError, Partition, SourceBatch, Spout,
    SpoutContext, StartSpout,
};

/// A record's value; `None` for a tombstone.
pub type Payload = Option<Vec<u8>>;

/// Records such as every bolt gets some to work on.
pub fn ordinary() -> Vec<Payload> {
    let lines = [
        r#"{"host":"web-1","status":200,"level":"info","message":"a","timestamp":"2024-05-06T07:08:09Z","debug":true}"#,
        r#"{"host":"web-2","status":503,"level":"error","message":"b","timestamp":"2024-05-06T07:08:10.5+02:00"}"#,
        r#"{"host":"web-3","status":404,"level":"debug","message":"c","path":"/favicon.ico"}"#,
        r#"{ "status": 500 , "nested": {"a": [1, {"b": null}]}, "host": "web-1" }"#,
        r#"{"host":"web-1","host_ip":"192.0.2.1","user":{"name":"x"},"secret":"y","tags":["p","q"]}"#,
        r#"{"host":"web-1","events":[{"a":1},{"a":2},{}]}"#,
        "{}",
        "<34>1 2003-10-11T22:14:15.003Z host su - ID47 [a b=\"c\"] text",
        "<13>Nov 14 22:13:20 host app[7]: text",
        r#"192.0.2.1 - bob [14/Nov/2023:22:13:20 +0000] "GET /a HTTP/1.1" 200 512 "-" "agent""#,
        "level=info msg=\"all well\" took=5ms",
        "2024-05-06T07:08:09Z,web-1,200,\"all, well\"",
        "plain text",
    ];
    let lines = lines.iter().cycle().take(200);
    lines.map(|line| Some(line.as_bytes().to_vec())).collect()
}

/// Records such as nobody should send.
pub fn hostile() -> Vec<Payload> {
    let nested = |open: &str, close: &str| [open.repeat(1 << 17), close.repeat(1 << 17)].concat();
    let many_keys: Vec<String> = (0..5_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let mut payloads: Vec<Payload> = vec![None, Some(Vec::new())];
    let texts: [Vec<u8>; 25] = [
        b"\xFF\xFE\x00".to_vec(),
        b"{\"host\":\"\xC3\x28\",\"status\":500}".to_vec(),
        b"{\"host\":\"web-1\",\"host\":\"web-2\"}".to_vec(),
        b"{\"h\\u006fst\":\"web-1\",\"host\":\"web-2\"}".to_vec(),
        b"{\"host\":{\"a\":1,\"a\":2},\"status\":\"x\"}".to_vec(),
        b"{\"host\":null,\"status\":1e999,\"level\":-0}".to_vec(),
        b"{\"host\":123456789012345678901234567890,\"status\":9223372036854775808}".to_vec(),
        b"{\"host\":\"\\ud800\",\"message\":\"\\u0000\",\"\":\"\"}".to_vec(),
        b"{\"host\":[[]],\"status\":{},\"level\":[],\"timestamp\":[]}".to_vec(),
        b"{\"timestamp\":\"9999-12-31T23:59:59Z\",\"host\":\"\"}".to_vec(),
        b"{\"timestamp\":-9223372036854775808,\"host\":\"x\"}".to_vec(),
        b"{\"_isobar\":1,\"_id\":\"../..\",\"host\":\"a/b\\\\c\\\"\"}".to_vec(),
        b"\xEF\xBB\xBF{\"host\":\"web-1\"}".to_vec(),
        b"{\"host\":\"web-1\"".to_vec(),
        b"{\"host\":\"web-1\"}}".to_vec(),
        b"[{\"host\":\"web-1\"}]".to_vec(),
        b"{\"events\":[{\"a\":1,\"a\":2},1,[[]],{\"events\":[]},\"\\ud800\"]}".to_vec(),
        b"\r\n\r\n".to_vec(),
        b"<999>1 - - - - - [".to_vec(),
        b"<13>1 - - - - - [a b=\"\\".to_vec(),
        nested("[", "]").into_bytes(),
        nested("{\"a\":", "}").into_bytes(),
        nested("<13>1 [a ", "]").into_bytes(),
        format!("{{{}}}", many_keys.join(",")).into_bytes(),
        [b"{\"host\":\"".as_slice(), &vec![b'x'; 1 << 20], b"\"}"].concat(),
    ];
    payloads.extend(texts.map(Some));
    payloads
}

/// Hands records out, five in a batch, then ends or waits.
struct Source {
    steps: VecDeque<Next>,
    ends: bool,
}

impl Spout for Source {
    async fn next(&mut self) -> Result<Next, OperatorError> {
        match self.steps.pop_front() {
            Some(step) => Ok(step),
            None if self.ends => Ok(Next::End),
            None => std::future::pending().await,
        }
    }
}

/// Records in a batch.
pub const BATCH: usize = 5;

/// Starts a spout of one partition with these records.
pub fn start(payloads: Vec<Payload>, ends: bool) -> Box<StartSpout> {
    Box::new(move |context: SpoutContext| {
        let partition = context.partitions.open("topic", 3, 7);
        let assigned = Next::Assigned {
            partition: Arc::clone(&partition),
            start: 0,
        };
        let batches = payloads.chunks(BATCH).enumerate();
        let batches = batches.map(|(number, chunk)| batch(&partition, number * BATCH, chunk));
        let steps = std::iter::once(assigned)
            .chain(batches.map(Next::Batch))
            .collect();
        let make: MakeSpout = Box::new(move || AnySpout::new(Source { steps, ends }));
        Ok(vec![make])
    })
}

fn batch(partition: &Arc<Partition>, start: usize, payloads: &[Payload]) -> SourceBatch {
    let mut builder = ArenaBuilder::new(Arc::clone(partition), payloads.len(), 0);
    for (offset, payload) in (start as i64..).zip(payloads) {
        // One record has no time, and some have no key. Of two without a time it would be up to the clock whether they
        // count in one second.
        let timestamp = if offset == 6 {
            -1
        } else {
            1_700_000_000_000 + offset
        };
        let key = (offset % 3 != 0).then_some(&b"key"[..]);
        builder.push(
            offset,
            timestamp,
            key,
            payload.as_deref(),
            std::iter::empty(),
        );
    }
    SourceBatch {
        arena: builder.finish(),
        dropped: Vec::new(),
    }
}
