//! The checks of `isobar doctor` as a page of Markdown.

use isobar_operators::doctor::{self, Depth};

const HEAD: &str = "\
<!-- Made by `cargo regenerate` from the checks of `isobar doctor`. Do not edit. -->

# Checks

What `isobar doctor FILE` asks of the outside systems of a topology. It changes nothing, unless `--write-test` asks for the check that is marked so. Those marked with *start* are made at each start of `isobar run` as well, which logs what they find and goes on. A check whose privilege is missing is skipped and says so.

| check | why it matters | what to do | needs |
|---|---|---|---|
";

/// The page.
pub fn checks() -> String {
    let mut page = HEAD.to_owned();
    for check in doctor::checks() {
        let start = match check.depth {
            Depth::Start => ", *start*",
            Depth::All => "",
            Depth::Writing => ", *`--write-test`*",
        };
        let needs = check.needs.trim_start_matches("it takes ");
        page.push_str(&format!(
            "| `{}`{start} | {} | {} | {needs} |\n",
            check.id, check.why, check.fix
        ));
    }
    page
}
