//! Deterministic input: record number N always has the same bytes, so that what arrived can be
//! checked without keeping what was sent.

/// The length of every record of [`json`], in bytes.
pub const JSON_LENGTH: usize = 423;

/// 2026-01-01T00:00:00Z in milliseconds, the time of record 0.
pub const FIRST_TIME: i64 = 1_767_225_600_000;

/// The time of record `number` in Unix milliseconds: one record every 100 ms, so that 500,000 records
/// stay within 14 hours and one daily index.
pub fn time(number: u64) -> i64 {
    FIRST_TIME + i64::try_from(number).expect("a test sends fewer records than i64 counts") * 100
}

/// The key of record `number`.
pub fn key(number: u64) -> String {
    format!("key-{number}")
}

/// Record `number` as one JSON object of [`JSON_LENGTH`] bytes, an event of ordinary shape with eleven values in
/// two levels: `number`, `timestamp` (RFC 3339 of [`time`]), `level` (one `error` in 50), `host` (100 different),
/// `traceparent`, `http` with `method`, `path`, `status` and `agent`, `duration_ms`, and `message`, some 70 bytes
/// that fill it up, with escapes in one record of 20.
pub fn json(number: u64) -> Vec<u8> {
    let mix = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let other = mix.rotate_left(29).wrapping_mul(0x2545_F491_4F6C_DD1D);
    let (level, status) = match number.is_multiple_of(50) {
        true => ("error", 500),
        false => ("info", 200),
    };
    let method = ["GET", "POST", "PUT", "DELETE"][(mix >> 8) as usize % 4];
    let mut record = format!(
        "{{\"number\":{number},\"timestamp\":\"{}\",\"level\":\"{level}\",\"host\":\"web-{:02}\",\
         \"traceparent\":\"00-{mix:016x}{other:016x}-{:016x}-01\",\"http\":{{\"method\":\"{method}\",\
         \"path\":\"/shop/item/{:06}?from=search&page=3\",\"status\":{status},\
         \"agent\":\"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\"}},\"duration_ms\":{},\"message\":\"",
        rfc3339(time(number)),
        mix % 100,
        mix ^ other,
        (mix >> 16) % 1_000_000,
        (mix >> 24) % 2_000,
    );
    if number.is_multiple_of(20) {
        record.push_str("\\\"express\\\"\\n");
    }
    const WORDS: [&str; 8] = [
        "order ",
        "basket ",
        "payment ",
        "customer ",
        "delivery ",
        "stock ",
        "invoice ",
        "return ",
    ];
    let end = JSON_LENGTH - 2;
    let mut rest = mix;
    while record.len() < end {
        rest = rest.rotate_left(5).wrapping_mul(0x2545_F491_4F6C_DD1D);
        record.push_str(WORDS[(rest >> 61) as usize]);
    }
    record.truncate(end);
    record.push_str("\"}");
    record.into_bytes()
}

/// Unix milliseconds as `2026-01-01T00:00:00.000Z`.
fn rfc3339(millis: i64) -> String {
    // Civil date from days, by Howard Hinnant's `civil_from_days`; the tests need no years before 1970.
    let days = millis.div_euclid(86_400_000);
    let in_day = millis.rem_euclid(86_400_000);
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (second, milli) = (in_day / 1_000 % 60, in_day % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// The values of an object and of those within.
    fn values(value: &Value) -> Vec<&Value> {
        match value {
            Value::Object(members) => members.values().flat_map(values).collect(),
            value => vec![value],
        }
    }

    #[test]
    fn every_record_is_json_of_the_stated_shape() {
        for number in [0, 1, 49, 50, 499_999, 1_000_000_000] {
            let record = json(number);
            assert_eq!(record.len(), JSON_LENGTH);
            let value: Value = serde_json::from_slice(&record).expect("it is JSON");
            assert_eq!(value["number"], number);
            assert_eq!(value["http"]["agent"].as_str().map(str::len), Some(70));
            assert_eq!(values(&value).len(), 11);
            // No text is most of the record, as a parser passes long ones for little.
            let longest = values(&value).into_iter().filter_map(Value::as_str);
            let longest = longest.map(str::len).max().expect("a text");
            assert!(longest < JSON_LENGTH / 5, "{value}");
            assert_eq!(record.contains(&b'\\'), number.is_multiple_of(20));
        }
        assert_eq!(json(7), json(7));
    }

    #[test]
    fn times_are_written_as_dates() {
        assert_eq!(rfc3339(FIRST_TIME), "2026-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_709_164_799_999), "2024-02-28T23:59:59.999Z");
        assert_eq!(rfc3339(1_709_164_800_000), "2024-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(FIRST_TIME - 1), "2025-12-31T23:59:59.999Z");
    }
}
