//! What counts as secret in a topology file, for every place that shows parts of one.

/// Stands for what is not shown.
pub(crate) const HIDDEN: &str = "<hidden>";

/// Words in keys whose values are secrets even when they are written into the file.
pub(crate) const WORDS: [&str; 9] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "credential",
    "authorization",
    // Keys and certificates as text, as in librdkafka's `ssl.key.pem`.
    ".pem",
];

/// Tells whether the value of this key is a secret.
pub(crate) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    WORDS.iter().any(|word| key.contains(word))
}

/// A text without the user and password of URLs in it.
pub(crate) fn without_credentials(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(scheme_end) = rest.find("://") {
        let (before, after) = rest.split_at(scheme_end + 3);
        shown.push_str(before);
        let authority = after.find(['/', '?', '#', ',', ' ']).unwrap_or(after.len());
        rest = match after[..authority].rfind('@') {
            Some(at) => {
                shown.push_str(HIDDEN);
                &after[at..]
            }
            None => after,
        };
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_urls_are_not_shown() {
        let check = |text, expected| assert_eq!(without_credentials(text), expected);
        check("http://es:9200/x@y", "http://es:9200/x@y");
        check("https://u:p@es:9200", "https://<hidden>@es:9200");
        check(
            "http://a:p@1,http://b:p@w@2/ http://c",
            "http://<hidden>@1,http://<hidden>@2/ http://c",
        );
        check("user@host ://", "user@host ://");
    }

    #[test]
    fn keys_of_secrets_are_known() {
        for key in [
            "password",
            "sasl.password",
            "ssl.key.pem",
            "API_KEY",
            "key_password",
        ] {
            assert!(is_secret(key), "{key}");
        }
        for key in ["key", "brokers", "ca", "keep_when"] {
            assert!(!is_secret(key), "{key}");
        }
    }
}
