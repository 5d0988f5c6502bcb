//! The list of bolts: parsers, transformations, sinks. A new one is a file in `bolts/`, its `mod`
//! line and its entry here.

mod blackhole;
mod console;
mod convert;
mod deduplicate;
mod elasticsearch;
mod file;
mod filter;
mod kafka;
mod limit;
mod lookup;
mod mask;
mod parse_access_log;
mod parse_csv;
mod parse_grok;
mod parse_json;
mod parse_key_value;
mod parse_regex;
mod parse_syslog;
mod parse_timestamp;
mod parse_user_agent;
mod remove_fields;
mod rename_fields;
mod route;
mod sample;
mod set_fields;
mod split;

use isobar_topology::BoltType;

pub(crate) use elasticsearch::ElasticsearchConfig;
pub use elasticsearch::missing_index_policy;
pub(crate) use kafka::KafkaConfig;

/// The type of the bolt that splits records.
pub(crate) const SPLIT: &str = split::TYPE.name;

/// The types of bolts that hand records on as they are: they only choose which ones, and where to.
pub(crate) const CHOOSE: [&str; 5] = [
    filter::TYPE.name,
    sample::TYPE.name,
    deduplicate::TYPE.name,
    limit::TYPE.name,
    route::TYPE.name,
];

pub(crate) fn list() -> Vec<BoltType> {
    vec![
        parse_json::TYPE,
        parse_syslog::TYPE,
        parse_access_log::TYPE,
        parse_key_value::TYPE,
        parse_csv::TYPE,
        parse_regex::TYPE,
        parse_grok::TYPE,
        parse_timestamp::TYPE,
        parse_user_agent::TYPE,
        convert::TYPE,
        set_fields::TYPE,
        remove_fields::TYPE,
        rename_fields::TYPE,
        lookup::TYPE,
        mask::TYPE,
        split::TYPE,
        filter::TYPE,
        sample::TYPE,
        deduplicate::TYPE,
        limit::TYPE,
        route::TYPE,
        elasticsearch::TYPE,
        kafka::TYPE,
        file::TYPE,
        console::TYPE,
        blackhole::TYPE,
    ]
}
