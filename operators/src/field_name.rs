//! Names of top-level fields as options of bolts write them.

use isobar_topology::spec::{Path, Problem};

/// The name that an option means: `host`, or `["log.level"]` for a name with a dot in it, as in
/// expressions. A bare name with dots is refused, as is `[client][ip]`, the way of Logstash: they look like
/// fields inside of others.
pub(crate) fn top_level<'n>(written: &'n str, path: &Path) -> Result<&'n str, Problem> {
    let quoted = written
        .strip_prefix("[\"")
        .and_then(|rest| rest.strip_suffix("\"]"));
    if let Some(name) = quoted {
        return Ok(name);
    }
    if let Some(names) = written.strip_prefix('[') {
        let dotted = names.trim_end_matches(']').replace("][", ".");
        return Err(Problem::new(
            path.clone(),
            format!("`{written}` looks like a field inside of another, as Logstash writes it"),
        )
        .expected(format!(
            "the name of a top-level field: [\"{dotted}\"], which the index takes for `{dotted}`, or a bare one that \
             `rename_fields` moves"
        )));
    }
    match written.split_once('.') {
        None => Ok(written),
        Some((outer, _)) => Err(Problem::new(
            path.clone(),
            format!("`{written}` looks like a field inside of `{outer}`"),
        )
        .expected(format!(
            "the name of a top-level field, or [\"{written}\"] for one that has dots in its name"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_dots_are_written_as_in_expressions() {
        let read = |written| top_level(written, &Path::root().key("o")).map_err(|p| p.to_string());
        assert_eq!(read("host"), Ok("host"));
        assert_eq!(read("@timestamp"), Ok("@timestamp"));
        assert_eq!(read("[\"log.level\"]"), Ok("log.level"));
        assert_eq!(read("[\"[a]\"]"), Ok("[a]"));
        assert_eq!(
            read("[client][ip]").as_ref().map_err(String::as_str),
            Err(
                "o: `[client][ip]` looks like a field inside of another, as Logstash writes it; expected the name of a top-level field: [\"client.ip\"], which the index takes for `client.ip`, or a bare one that `rename_fields` moves"
            )
        );
        assert_eq!(
            read("log.level").as_ref().map_err(String::as_str),
            Err(
                "o: `log.level` looks like a field inside of `log`; expected the name of a top-level field, or [\"log.level\"] for one that has dots in its name"
            )
        );
    }
}
