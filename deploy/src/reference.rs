//! The reference of operators, made from their JSON schemas: what `isobar operators` shows and the page
//! `deploy/OPERATORS.md` holds.

mod checks;
mod head;
mod outcomes;
mod page;
mod schema;
mod shown;
mod text;

use std::collections::BTreeMap;

use isobar_topology::spec::Settings;
use isobar_topology::{BoltType, Registry};
use schemars::Schema;
use serde::Serialize;
use serde_json::Value;

pub use checks::checks;
pub use outcomes::outcomes;
pub use page::page;
pub use shown::Shown;

/// What there is to know about a type of operator.
#[derive(Clone, Debug, Serialize)]
pub struct Reference {
    /// Its name in `type:`.
    pub name: String,
    /// Where it stands in a topology file.
    pub kind: Kind,
    /// What it does, in Markdown.
    pub description: String,
    /// Its options; those below others have paths such as `tls.ca`.
    pub options: Vec<OptionOf>,
    /// The component as it stands under its id; empty where there is none.
    pub example: String,
    /// Files that the example reads: names and contents.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// What becomes of records at the example, once [`Reference::show`] ran them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shown: Vec<Shown>,
    /// The options as a JSON schema.
    pub schema: Value,
    #[serde(skip)]
    bolt: Option<BoltType>,
}

/// Where a type stands in a topology file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Under `connections`.
    Connection,
    /// Under `spouts`.
    Spout,
    /// Under `bolts`.
    Bolt,
    /// The key `settings` itself.
    Settings,
}

/// An option.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OptionOf {
    /// Its name, with those that it stands below: `tls.ca`, `routes.*`.
    pub name: String,
    /// What its value is, in words.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it must be there, where what it stands below is.
    pub required: bool,
    /// What it is unless it is given; also where only its description says so.
    pub default: Option<String>,
    /// What it does, in Markdown.
    pub description: String,
}

/// Of bolts with side effects.
const LEFT_OUT: &str = "A replay leaves it out, unless nothing but rejected records comes to it: it changes something \
                        elsewhere than in the index.";
/// Of bolts that are not deterministic.
const DIFFERS: &str =
    "A replay may see it do something else than it did: it goes by more than the record itself.";

impl Kind {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Connection => "connection",
            Kind::Spout => "spout",
            Kind::Bolt => "bolt",
            Kind::Settings => "settings",
        }
    }
}

/// Everything that a topology file can name, in the order of the registry, then its settings.
pub fn all(registry: &Registry) -> Vec<Reference> {
    let connections = registry.connections.iter();
    let connections =
        connections.map(|of| Reference::new(Kind::Connection, of.name, &(of.schema)(), ""));
    let spouts = registry.spouts.iter();
    let spouts = spouts.map(|of| Reference::new(Kind::Spout, of.name, &(of.schema)(), of.example));
    let bolts = registry.bolts.iter().map(Reference::of_bolt);
    let settings = schemars::schema_for!(Settings);
    let settings = Reference::new(Kind::Settings, "settings", &settings, "");
    connections
        .chain(spouts)
        .chain(bolts)
        .chain([settings])
        .collect()
}

impl Reference {
    fn new(kind: Kind, name: &str, schema: &Schema, example: &str) -> Self {
        let schema = schema.as_value();
        Self {
            name: name.to_owned(),
            kind,
            description: schema::description(schema).to_owned(),
            options: schema::options(schema),
            example: example.to_owned(),
            files: BTreeMap::new(),
            shown: Vec::new(),
            schema: schema.clone(),
            bolt: None,
        }
    }

    fn of_bolt(kind: &BoltType) -> Self {
        let files = kind.example.files.iter();
        let mut reference = Self {
            files: files
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect(),
            bolt: Some(*kind),
            ..Self::new(Kind::Bolt, kind.name, &(kind.schema)(), kind.example.yaml)
        };
        for (is_so, said) in [
            (kind.side_effects, LEFT_OUT),
            (!kind.deterministic, DIFFERS),
        ] {
            if is_so {
                reference.description.push_str(&format!("\n\n{said}"));
            }
        }
        reference
    }

    /// Runs the records of its example, for [`Reference::shown`]. Contacts nobody.
    ///
    /// Fails when the example is wrong, or a file that it reads cannot be written for it.
    pub fn show(&mut self) -> anyhow::Result<()> {
        if let Some(bolt) = &self.bolt {
            self.shown = shown::shown(bolt)?;
        }
        Ok(())
    }

    /// What becomes of the records, for people; empty before [`Reference::show`].
    fn shown_text(&self) -> String {
        let all = self.shown.iter().map(|one| shown::text(one, &self.name));
        all.collect()
    }

    /// The first sentence of the description, without its full stop.
    pub fn summary(&self) -> String {
        let first = self.description.split("\n\n").next().unwrap_or_default();
        let first = first.replace('\n', " ");
        let sentence = first
            .split_once(". ")
            .map_or(first.as_str(), |(sentence, _)| sentence);
        sentence.trim_end_matches('.').to_owned()
    }

    /// The text for a terminal.
    pub fn text(&self) -> String {
        text::text(self)
    }
}
