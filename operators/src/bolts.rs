//! The list of bolts: parsers, transformations, sinks. A new one is a file in `bolts/`, its `mod`
//! line and its entry here.

mod blackhole;
mod elasticsearch;
mod console;
mod file;
mod filter;
mod parse_json;
mod lookup;
mod parse_syslog;
mod remove_fields;
mod rename_fields;
mod route;
mod set_fields;

use isobar_topology::BoltType;

pub(crate) fn list() -> Vec<BoltType> {
    vec![
        blackhole::TYPE,
        elasticsearch::TYPE,
        console::TYPE,
        file::TYPE,
        filter::TYPE,
        parse_json::TYPE,
        lookup::TYPE,
        parse_syslog::TYPE,
        remove_fields::TYPE,
        rename_fields::TYPE,
        route::TYPE,
        set_fields::TYPE,
    ]
}
