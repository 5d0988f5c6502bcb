//! The reference of operators, made from their JSON schemas: what `isobar operators` shows and the page
//! `deploy/OPERATORS.md` holds.

mod checks;
mod head;
mod outcomes;
mod page;
mod schema;
mod text;

use isobar_topology::Registry;
use isobar_topology::spec::Settings;
use schemars::Schema;
use serde::Serialize;
use serde_json::Value;

pub use checks::checks;
pub use outcomes::outcomes;
pub use page::page;

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
    /// The options as a JSON schema.
    pub schema: Value,
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
    let connections = connections.map(|of| (Kind::Connection, of.name, (of.schema)(), ""));
    let spouts = registry.spouts.iter();
    let spouts = spouts.map(|of| (Kind::Spout, of.name, (of.schema)(), of.example));
    let bolts = registry.bolts.iter();
    let bolts = bolts.map(|of| (Kind::Bolt, of.name, (of.schema)(), of.example));
    let settings = (
        Kind::Settings,
        "settings",
        schemars::schema_for!(Settings),
        "",
    );
    connections
        .chain(spouts)
        .chain(bolts)
        .chain([settings])
        .map(|(kind, name, schema, example)| Reference::new(kind, name, &schema, example))
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
            schema: schema.clone(),
        }
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
