//! Texts that are never shown, and the files that they come from.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::tree::{Entry, Node, Value};
use super::value_file::{read_value_file, without_line_break};

/// A text that is never shown: not by `Debug`, not when it is written out again.
#[derive(Clone)]
pub struct Secret {
    text: String,
    file: Option<Arc<Source>>,
}

/// Where a text comes from. All copies of a secret share it.
struct Source {
    path: PathBuf,
    /// What was read again last; `None` before that.
    last: Mutex<Option<String>>,
}

impl Source {
    fn of(path: PathBuf) -> Arc<Self> {
        let last = Mutex::default();
        Arc::new(Self { path, last })
    }
}

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { text, file: None }
    }

    /// The text itself: only to hand it to a client.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// The file that the whole text came from; `None` where it came from somewhere else.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.path.as_path())
    }

    /// The secret as its file has it now; one without a file stays what it is. Waits for the disk.
    ///
    /// Fails where the file cannot be read, and where it is empty, as one is that is being written.
    pub fn read_again(&self) -> io::Result<Self> {
        let Some(file) = &self.file else {
            return Ok(self.clone());
        };
        let text = without_line_break(read_value_file(&file.path)?);
        if text.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is empty"));
        }
        let mut last = file.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(text.clone());
        Ok(self.with(text))
    }

    /// The secret as its file has it now, or, where that cannot be used, as any copy of it has last read it.
    /// Waits for the disk.
    pub fn now(&self) -> Self {
        self.read_again().unwrap_or_else(|_| {
            let file = self.file.as_ref();
            let last = file.map(|file| file.last.lock().unwrap_or_else(PoisonError::into_inner));
            let last = last.and_then(|last| last.clone());
            last.map_or_else(|| self.clone(), |text| self.with(text))
        })
    }

    fn with(&self, text: String) -> Self {
        let file = self.file.clone();
        Self { text, file }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

const HIDDEN: &str = "<hidden>";

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(HIDDEN)
    }
}

/// A secret that came from a file as serde reads it: a mapping, where a topology file has a text.
pub(super) fn with_file(node: &Node) -> Option<Node> {
    let file = node.file.as_ref()?.to_str()?;
    let member = |key: &str, text: &str| Entry {
        key: key.to_owned(),
        key_place: node.place,
        node: Node::new(Value::String(text.to_owned()), node.place),
    };
    let entries = vec![member("text", node.text()?), member("file", file)];
    Some(Node {
        value: Value::Map(entries),
        ..node.clone()
    })
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            Text(String),
            WithFile { text: String, file: PathBuf },
        }
        match Given::deserialize(from) {
            Ok(Given::Text(text)) => Ok(Self { text, file: None }),
            Ok(Given::WithFile { text, file }) => Ok(Self {
                text,
                file: Some(Source::of(file)),
            }),
            // The text of serde's own error could show the value.
            Err(_) => Err(D::Error::custom("expected a string")),
        }
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "secret"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Path as Place, parse_config};

    #[test]
    fn secrets_are_not_shown() {
        let secret: Secret = serde_json::from_str("\"hush\"").expect("a string");
        assert_eq!(secret.reveal(), "hush");
        assert_eq!(format!("{secret:?}"), HIDDEN);
        assert_eq!(
            serde_json::to_string(&secret).expect("a string"),
            "\"<hidden>\""
        );
    }

    #[test]
    fn a_secret_is_read_again_from_the_file_that_it_came_from() {
        #[derive(Deserialize, JsonSchema)]
        struct Options {
            password: Option<Secret>,
            user: String,
        }
        let path = std::env::temp_dir().join(format!("isobar-secret-{}", std::process::id()));
        let of_file = |text: &str| Node {
            hidden: true,
            file: Some(Arc::from(path.as_path())),
            ..Node::new(Value::String(text.to_owned()), Default::default())
        };
        let entry = |key: &str| Entry {
            key: key.to_owned(),
            key_place: Default::default(),
            node: of_file("first"),
        };
        let both = Value::Map(vec![entry("password"), entry("user")]);
        let node = Node::new(both, Default::default());
        let options: Options = parse_config(&node, &Place::root()).expect("sound");
        assert_eq!(options.user, "first");
        let secret = options.password.expect("given");
        assert_eq!(secret.reveal(), "first");
        assert_eq!(secret.file(), Some(path.as_path()));

        std::fs::write(&path, "second\r\n").expect("written");
        let second = secret.read_again().expect("readable");
        assert_eq!((second.reveal(), second.file()), ("second", secret.file()));
        std::fs::write(&path, "\n").expect("written");
        let empty = secret.read_again().expect_err("nothing is in it");
        assert_eq!(empty.to_string(), "it is empty");
        assert_eq!(secret.clone().now().reveal(), "second");
        std::fs::remove_file(&path).expect("removed");
        assert!(secret.read_again().is_err());
        let fixed = Secret::new("fixed").read_again().expect("it has no file");
        assert_eq!((fixed.reveal(), fixed.now().reveal()), ("fixed", "fixed"));
    }
}
