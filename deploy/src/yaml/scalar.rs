//! What a scalar without quotes stands for, by the core schema of YAML 1.2
//! (<https://yaml.org/spec/1.2.2/#1032-tag-resolution>): `yes` and `on` are text.

use isobar_topology::spec::Value;

/// The value of a scalar without quotes.
pub(super) fn typed(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if let ".inf" | ".Inf" | ".INF" = unsigned {
        let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
        return Value::Float(sign * f64::INFINITY);
    }
    let whole = match (text.strip_prefix("0x"), text.strip_prefix("0o")) {
        (Some(hex), _) => from_radix(hex, 16),
        (_, Some(octal)) => from_radix(octal, 8),
        _ if is_digits(unsigned) => text.parse().ok(),
        _ => None,
    };
    if let Some(whole) = whole {
        return Value::Int(whole);
    }
    // A whole number that is too large for 64 bits is a number all the same.
    match is_decimal(unsigned).then(|| text.parse()) {
        Some(Ok(number)) => Value::Float(number),
        _ => Value::String(text.to_owned()),
    }
}

fn from_radix(digits: &str, radix: u32) -> Option<i64> {
    // The standard library would take a sign here.
    let first = digits.chars().next()?;
    first
        .is_digit(radix)
        .then(|| i64::from_str_radix(digits, radix).ok())?
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_decimal(text: &str) -> bool {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(exponent)),
        None => (text, None),
    };
    let number = match number.split_once('.') {
        Some(("", after)) => is_digits(after),
        Some((before, after)) => is_digits(before) && (after.is_empty() || is_digits(after)),
        None => is_digits(number),
    };
    number && exponent.is_none_or(|e| is_digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_typed_by_the_core_schema() {
        let int = Value::Int;
        let float = Value::Float;
        let check = |text: &str, expected: Value| assert_eq!(typed(text), expected, "{text}");
        for text in ["", "~", "null", "Null", "NULL"] {
            check(text, Value::Null);
        }
        check("true", Value::Bool(true));
        check("FALSE", Value::Bool(false));
        check("0", int(0));
        check("-12", int(-12));
        check("+7", int(7));
        check("0123", int(123));
        check("0x1F", int(31));
        check("0o17", int(15));
        check("9223372036854775807", int(i64::MAX));
        check("9223372036854775808", float(9_223_372_036_854_775_808.0));
        check("1.5", float(1.5));
        check("-.5e-1", float(-0.05));
        check("1.", float(1.0));
        check("1e3", float(1000.0));
        check("-.inf", float(f64::NEG_INFINITY));
        assert!(matches!(typed(".nan"), Value::Float(number) if number.is_nan()));
        for text in [
            "yes",
            "on",
            "tRUE",
            "1_000",
            "+-1",
            "0x-1",
            "0x",
            "0o9",
            "1e",
            "e5",
            ".",
            "-",
            "inf",
            "nan",
            "1:30",
            "2024-01-01",
            "10.0.0.1",
            "1.5s",
            "--1",
            "٣",
        ] {
            check(text, Value::String(text.to_owned()));
        }
    }
}
