//! What to say of records that no proposal fits: what they are, where that shows, and what can be done.

use isobar_operators::sample::Sampled;

/// By hand, where a parser exists that a person must tell what to look for.
const BY_HAND: &str =
    "write the file by hand, with `parse_grok` or `parse_regex` (`isobar operators parse_grok`)";

/// What can be done about records of which most are of no format that is tried.
pub(super) fn advice(records: &[Sampled]) -> String {
    let most = |is_one: fn(&[u8]) -> bool| {
        let payloads = records
            .iter()
            .filter_map(|record| record.payload.as_deref());
        payloads.filter(|payload| is_one(payload)).count() * 2 > records.len()
    };
    const NOT_READ: &str = "Isobar has no parser for those (`isobar operators` lists what it has)";
    if most(is_of_registry) {
        return format!(
            "they begin as Avro or Protobuf of a schema registry does, with a zero byte and a number: {NOT_READ}"
        );
    }
    if most(is_compressed) {
        return format!(
            "they were compressed before they came to Kafka: {NOT_READ}; let the producer do it, by `compression.type`"
        );
    }
    if most(|payload| std::str::from_utf8(payload).is_err()) {
        return format!("they are no text: {NOT_READ}");
    }
    if most(|payload| payload.trim_ascii_start().starts_with(b"[")) {
        return "they are lists of JSON: write the file by hand, with a bolt `split` of `value: json_array` before \
                the `parse_json` (`isobar operators split`)"
            .to_owned();
    }
    if most(has_several_lines) {
        return "they have several lines: where each line is an event, write the file by hand, with a bolt \
                `split` before the parser (`isobar operators split`)"
            .to_owned();
    }
    match has_commas_in_times(records) {
        true => {
            format!("their times, such as 06:00:00,123, are those of Python or log4j; {BY_HAND}")
        }
        false => BY_HAND.to_owned(),
    }
}

/// A zero byte and the number of a schema, in four bytes, as clients of Confluent's registry write them.
fn is_of_registry(payload: &[u8]) -> bool {
    payload.len() > 5 && payload[0] == 0
}

/// By the first bytes of gzip, zstd and lz4.
fn is_compressed(payload: &[u8]) -> bool {
    let starts: [&[u8]; 3] = [b"\x1F\x8B", b"\x28\xB5\x2F\xFD", b"\x04\x22\x4D\x18"];
    starts.iter().any(|start| payload.starts_with(start))
}

fn has_several_lines(payload: &[u8]) -> bool {
    payload.trim_ascii_end().contains(&b'\n')
}

/// Whether most lines have a time such as `06:00:00,123` in them, as Python's logging and log4j write it.
pub(super) fn has_commas_in_times(records: &[Sampled]) -> bool {
    let has_one = |record: &&Sampled| {
        let payload = record.payload.as_deref().unwrap_or_default();
        payload.windows("00:00,000".len()).any(|part| {
            part.iter()
                .zip(b"00:00,000")
                .all(|(byte, form)| match form {
                    b'0' => byte.is_ascii_digit(),
                    form => byte == form,
                })
        })
    };
    records.iter().filter(has_one).count() * 2 > records.len()
}
