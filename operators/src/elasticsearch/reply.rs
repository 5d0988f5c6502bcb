//! Reads what a bulk request was answered.
//!
//! The reply to a request that went well in every item has one possible text, and that is what is
//! compared first: nothing is believed that was not counted. Elasticsearch 9 can answer a body that was
//! cut on its way with `errors: false` and fewer items.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::outcome::{self, Action, Class, Level};

/// Which parts of a reply are asked for: enough to know about every item, 26 bytes each when it is well. A build
/// that measures what acking costs counts no items, and asks for none.
pub(crate) const FILTER_PATH: &str = match cfg!(isobar_unacked) {
    true => "filter_path=errors",
    false => "filter_path=errors,items.*.status,items.*.error,items.*.failure_store",
};

/// Bytes of a reply for each item at most, on average: an error has its reason and the causes of it.
const ITEM_MAX: usize = 1 << 10;
/// Bytes of a reply whatever the items.
const BASE_MAX: usize = 64 << 10;

/// Longest reply that is read to a request of so many items and bytes, in bytes. One that is longer is asked
/// for again in halves. A document that is left alone may be quoted as a whole, once in the reason and once in
/// that of the cause.
pub(crate) const fn size_max(items: usize, body: usize) -> usize {
    match items {
        1 => BASE_MAX + ITEM_MAX + 2 * body,
        _ => BASE_MAX + items * ITEM_MAX,
    }
}

/// The longest reply to any request of at most so many items and bytes, in bytes.
pub(crate) fn memory(items: usize, body: usize) -> usize {
    size_max(items, body).max(size_max(1, body))
}

/// Whether a reply that is too long to be read begins as one that refuses the only document of its request.
pub(crate) fn refuses_the_only_one(begin: &[u8], operation: &str) -> bool {
    let before = format!(r#"{{"errors":true,"items":[{{"{operation}":{{"status":"#);
    let status = begin.strip_prefix(before.as_bytes());
    let status = status.and_then(|rest| str::from_utf8(rest.get(..3)?).ok()?.parse().ok());
    status.is_some_and(|status| {
        let class = outcome::class_of(Level::Item, status, None);
        matches!(class.action(), Action::Reject(_))
    })
}

/// What a reply says about each item of its request, in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Items {
    /// All are stored.
    AllStored,
    /// Not all are.
    Each(Vec<Item>),
}

/// What a reply says about an item.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// What became of it.
    pub(crate) class: Class,
    status: u16,
    /// Status, type and reasons for a person, unless all is well.
    pub(crate) text: Option<Box<str>>,
}

/// An error as both products spell it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fault<'a> {
    /// Its `type`.
    pub(crate) kind: Cow<'a, str>,
    /// Its `reason`; quotes documents.
    pub(crate) reason: Cow<'a, str>,
    /// What it follows from.
    pub(crate) caused_by: Option<Box<Fault<'a>>>,
}

/// Why a reply with status 200 tells nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReplyError {
    /// It is no reply to a bulk request.
    #[error("the reply is not that of a bulk request: {0}")]
    Unreadable(String),
    /// Some of the body did not arrive, or more than it.
    #[error("the reply has {got} items, the request had {sent}")]
    Count {
        /// Items of the request.
        sent: usize,
        /// Items of the reply.
        got: usize,
    },
}

/// Reads the reply to a request with `sent` items, all with this operation (`create` or `index`).
pub(crate) fn read(reply: &[u8], operation: &str, sent: usize) -> Result<Items, ReplyError> {
    if cfg!(isobar_unacked) || is_all_stored(reply, operation, sent) {
        return Ok(Items::AllStored);
    }
    let read = serde_json::from_slice(reply);
    let Reply { items } = read.map_err(|error| ReplyError::Unreadable(error.to_string()))?;
    let Some(items) = items else {
        let text = "it has no items".to_owned();
        return Err(ReplyError::Unreadable(text));
    };
    if items.len() != sent {
        return Err(ReplyError::Count {
            sent,
            got: items.len(),
        });
    }
    if items.iter().all(|item| item.class == Class::Stored) {
        return Ok(Items::AllStored);
    }
    Ok(Items::Each(items))
}

/// Reads the error of a whole request, where the body holds one.
pub(crate) fn fault_of_request(body: &[u8]) -> Option<Fault<'_>> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        error: Fault<'a>,
    }
    let body: Body<'_> = serde_json::from_slice(body).ok()?;
    Some(body.error)
}

impl Fault<'_> {
    /// Whether a reason in the chain of causes contains a text.
    pub(crate) fn says(&self, text: &str) -> bool {
        self.chain().any(|fault| fault.reason.contains(text))
    }

    fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |fault| fault.caused_by.as_deref())
    }
}

/// Type, reason, and the reason of the deepest cause.
impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if !self.reason.is_empty() {
            write!(f, ": {}", self.reason)?;
        }
        match self.chain().skip(1).last() {
            // Some reasons end in that of their cause.
            Some(cause) if !self.reason.contains(&*cause.reason) => write!(f, ": {}", cause.reason),
            _ => Ok(()),
        }
    }
}

/// Status and type of an error as it is told. Its reason may quote the document, so it stays out of what is shown
/// to whoever asks.
pub(crate) fn without_reason(text: &str) -> &str {
    let end = text.find(": ").unwrap_or(text.len());
    text[..end].trim_end()
}

/// Items of a reply that are compared at a time.
const BLOCK: usize = 64;

/// Whether the reply is, byte for byte, that to a request of which every document was stored.
fn is_all_stored(reply: &[u8], operation: &str, sent: usize) -> bool {
    let Some(mut rest) = reply.strip_prefix(br#"{"errors":false,"items":["#) else {
        return false;
    };
    // 200 is a document that replaced an older one.
    let created = format!(r#"{{"{operation}":{{"status":201}}}}"#).into_bytes();
    let replaced = format!(r#"{{"{operation}":{{"status":200}}}}"#).into_bytes();
    // Most often all are new: these are compared many at a time.
    let block = [&*created, b","].concat().repeat(BLOCK);
    let mut left = sent;
    while left > BLOCK
        && let Some(after) = rest.strip_prefix(&*block)
    {
        rest = after;
        left -= BLOCK;
    }
    for item in 0..left {
        if item > 0 {
            match rest.split_first() {
                Some((b',', after)) => rest = after,
                _ => return false,
            }
        }
        let Some((found, after)) = rest.split_at_checked(created.len()) else {
            return false;
        };
        if found != created && found != replaced {
            return false;
        }
        rest = after;
    }
    rest == b"]}"
}

struct Reply {
    items: Option<Vec<Item>>,
}

impl<'de> Deserialize<'de> for Reply {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Reply;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Reply, A::Error> {
                let mut reply = Reply { items: None };
                while let Some(key) = map.next_key::<Text<'_>>()? {
                    match &*key.0 {
                        "items" => reply.items = Some(map.next_value::<ItemList>()?.0),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(reply)
            }
        }
        from.deserialize_map(Members)
    }
}

struct ItemList(Vec<Item>);

impl<'de> Deserialize<'de> for ItemList {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = ItemList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of items")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ItemList, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(ItemList(items))
            }
        }
        from.deserialize_seq(Elements)
    }
}

impl<'de> Deserialize<'de> for Item {
    /// `{"create": {"status": 201}}`, whatever the operation's name.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Body<'a> {
            status: u16,
            #[serde(borrow, default)]
            error: Option<Fault<'a>>,
            #[serde(borrow, default)]
            failure_store: Option<Text<'a>>,
        }
        struct Operation;
        impl<'de> Visitor<'de> for Operation {
            type Value = Item;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an item")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item, A::Error> {
                let operation = map.next_entry::<IgnoredAny, Body<'_>>()?;
                let (_, body) = operation.ok_or_else(|| A::Error::custom("an empty item"))?;
                if map.next_key::<IgnoredAny>()?.is_some() {
                    return Err(A::Error::custom("an item with two outcomes"));
                }
                Ok(Item::new(
                    body.status,
                    body.error.as_ref(),
                    body.failure_store.is_some_and(|used| used.0 == "used"),
                ))
            }
        }
        from.deserialize_map(Operation)
    }
}

impl Item {
    fn new(status: u16, fault: Option<&Fault<'_>>, in_failure_store: bool) -> Self {
        // What is no error, and no plain success either, has a type of our own.
        let found = match (status, fault) {
            (200..=299, Some(_)) => named(outcome::CONTRADICTION),
            (200..=299, None) if in_failure_store => named(outcome::FAILURE_STORE),
            _ => None,
        };
        let class = outcome::class_of(Level::Item, status, found.as_ref().or(fault));
        let text = match (class, fault) {
            (Class::Stored | Class::Present, _) => None,
            (Class::FailureStore, _) => Some("it went into the failure store".into()),
            (_, None) => Some(status.to_string().into()),
            (_, Some(fault)) => Some(format!("{status} {fault}").into()),
        };
        Self {
            class,
            status,
            text,
        }
    }

    /// Whether it waits since a queue, or memory, is full.
    pub(crate) fn is_refused_by_full_queue(&self) -> bool {
        self.class == Class::Busy && self.status == 429
    }
}

/// An error of this type alone.
fn named(kind: &'static str) -> Option<Fault<'static>> {
    Some(Fault {
        kind: kind.into(),
        ..Fault::default()
    })
}

impl<'de: 'a, 'a> Deserialize<'de> for Fault<'a> {
    /// An object, or a bare text as some errors of whole requests are.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Fault<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an error")
            }

            fn visit_str<E>(self, text: &str) -> Result<Fault<'de>, E> {
                Ok(Fault {
                    reason: Cow::Owned(text.to_owned()),
                    ..Fault::default()
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fault<'de>, A::Error> {
                let mut fault = Fault::default();
                while let Some(key) = map.next_key::<Text<'_>>()? {
                    match &*key.0 {
                        "type" => fault.kind = map.next_value::<Text<'de>>()?.0,
                        "reason" => fault.reason = map.next_value::<Text<'de>>()?.0,
                        "caused_by" => fault.caused_by = map.next_value()?,
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(fault)
            }
        }
        from.deserialize_any(Either)
    }
}

/// A text that is borrowed where it can be. Reasons quote documents, so one that is no proper Unicode
/// must not make the whole reply unreadable; and a reason may be `null`.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_bytes<E>(self, text: &'de [u8]) -> Result<Text<'de>, E> {
                Ok(Text(String::from_utf8_lossy(text)))
            }

            fn visit_bytes<E>(self, text: &[u8]) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(String::from_utf8_lossy(text).into_owned())))
            }
        }
        /// `null`, or a text as bytes: serde_json checks neither encoding nor surrogates of those.
        struct Optional;
        impl<'de> Visitor<'de> for Optional {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_none<E>(self) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed("")))
            }

            fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Text<'de>, D::Error> {
                from.deserialize_bytes(Any)
            }
        }
        from.deserialize_option(Optional)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(reply: &str, sent: usize) -> Result<Vec<Class>, ReplyError> {
        match read(reply.as_bytes(), "create", sent)? {
            Items::AllStored => Ok(vec![Class::Stored; sent]),
            Items::Each(items) => Ok(items.into_iter().map(|item| item.class).collect()),
        }
    }

    const STORED: &str = r#"{"create":{"status":201}}"#;

    fn all_stored(items: usize) -> String {
        let items = vec![STORED; items].join(",");
        format!(r#"{{"errors":false,"items":[{items}]}}"#)
    }

    #[test]
    fn a_reply_in_which_all_is_well_is_compared_and_not_parsed() {
        for items in [1, 2, BLOCK, BLOCK + 1, 2 * BLOCK + 1, 1000] {
            let reply = all_stored(items);
            assert!(is_all_stored(reply.as_bytes(), "create", items));
            assert_eq!(classes(&reply, items), Ok(vec![Class::Stored; items]));
        }
        let mixed =
            r#"{"errors":false,"items":[{"index":{"status":200}},{"index":{"status":201}}]}"#;
        assert!(is_all_stored(mixed.as_bytes(), "index", 2));
    }

    #[test]
    fn no_other_text_passes_for_one_in_which_all_is_well() {
        for items in [3, BLOCK + 3] {
            let good = all_stored(items);
            assert!(is_all_stored(good.as_bytes(), "create", items));
            for (at, byte) in good.bytes().enumerate() {
                let mut other = good.clone().into_bytes();
                other[at] = byte ^ 1;
                // 201 and 200 differ in one bit, and both are well.
                let is_status = byte == b'1' && good.as_bytes()[at - 1] == b'0';
                assert_eq!(
                    is_all_stored(&other, "create", items),
                    is_status,
                    "byte {at}"
                );
                assert!(
                    !is_all_stored(&good.as_bytes()[..at], "create", items),
                    "cut at {at}"
                );
            }
            let longer = format!("{good} ");
            assert!(!is_all_stored(longer.as_bytes(), "create", items));
            for sent in [0, items - 1, items + 1] {
                assert!(!is_all_stored(good.as_bytes(), "create", sent));
            }
        }
    }

    #[test]
    fn a_success_is_believed_only_with_the_right_number_of_items() {
        for (got, sent) in [(3, 4), (4, 3), (0, 1)] {
            let error = ReplyError::Count { sent, got };
            assert_eq!(classes(&all_stored(got), sent), Err(error));
        }
        let without = r#"{"errors":false}"#;
        assert!(matches!(
            classes(without, 1),
            Err(ReplyError::Unreadable(_))
        ));
    }

    #[test]
    fn items_are_read_in_order_whatever_surrounds_them() {
        let reply = r#" {"took":3,"items":[
            {"create":{"_index":"x","status":201,"failure_store":"used"}},
            {"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":null}}},
            {"create":{"status":400,"error":{"root_cause":[{}],"type":"document_parsing_exception","reason":"[1:2] no","caused_by":{"type":"x","reason":"deep","caused_by":{"type":"y","reason":"deepest \ud800"}}}}},
            {"create":{"status":201,"failure_store":"not_enabled"}},
            {"create":{"status":201,"error":"odd"}}
        ],"errors":true}"#;
        let Ok(Items::Each(items)) = read(reply.as_bytes(), "create", 5) else {
            panic!("the reply has items");
        };
        let found: Vec<(Class, Option<&str>)> = items
            .iter()
            .map(|item| (item.class, item.text.as_deref()))
            .collect();
        assert_eq!(
            found,
            [
                (Class::FailureStore, Some("it went into the failure store")),
                (Class::Present, None),
                (
                    Class::Document,
                    Some(
                        "400 document_parsing_exception: [1:2] no: deepest \u{FFFD}\u{FFFD}\u{FFFD}"
                    )
                ),
                (Class::Stored, None),
                (Class::Refused, Some("201 : odd")),
            ]
        );
    }

    #[test]
    fn a_long_reply_refuses_a_document_where_it_begins_so() {
        let begin = |status: &str| {
            let text = "because ".repeat(10);
            format!(
                r#"{{"errors":true,"items":[{{"create":{{"status":{status},"error":{{"type":"x","reason":"{text}"#
            )
        };
        assert!(refuses_the_only_one(begin("400").as_bytes(), "create"));
        assert!(!refuses_the_only_one(begin("400").as_bytes(), "index"));
        // What waits, or is counted, is not refused.
        for status in ["201", "403", "404", "429", "500", "503", "40"] {
            let begin = begin(status);
            assert!(!refuses_the_only_one(begin.as_bytes(), "create"), "{begin}");
        }
        for begin in [
            "",
            "<html>",
            r#"{"errors":true,"items":[{"create":{"status":4"#,
        ] {
            assert!(!refuses_the_only_one(begin.as_bytes(), "create"), "{begin}");
        }
    }

    #[test]
    fn what_is_no_bulk_reply_is_unreadable() {
        let cut = &all_stored(2)[..40];
        for text in [
            "",
            "<html><body>Please log in</body></html>",
            "[]",
            "{}",
            r#"{"items":{}}"#,
            r#"{"items":[{}]}"#,
            r#"{"items":[{"create":{}}]}"#,
            r#"{"items":[{"create":{"status":"201"}}]}"#,
            cut,
        ] {
            let found = read(text.as_bytes(), "create", 1);
            assert!(
                matches!(found, Err(ReplyError::Unreadable(_))),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn the_error_of_a_request_is_an_object_or_a_text() {
        let object =
            r#"{"error":{"root_cause":[],"type":"security_exception","reason":"no"},"status":403}"#;
        let fault = fault_of_request(object.as_bytes()).expect("an error");
        assert_eq!(fault.to_string(), "security_exception: no");
        let text = r#"{"error":"no handler found","status":400}"#;
        assert_eq!(
            fault_of_request(text.as_bytes()).expect("an error").reason,
            "no handler found"
        );
        assert!(fault_of_request(b"").is_none());
    }

    #[test]
    fn of_an_error_without_its_reason_status_and_type_are_left() {
        for (text, left) in [
            ("400 odd_exception: value [secret: x]", "400 odd_exception"),
            ("500 null_pointer_exception", "500 null_pointer_exception"),
            ("400 : a bare text", "400"),
        ] {
            assert_eq!(without_reason(text), left);
        }
    }
}
