//! `filter_path`: which parts of a bulk answer a client wants. Worked out once per request, so that
//! writing an item asks a few booleans.

use super::bulk::Kind;

/// The fields of an item that can be asked for by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ItemFields {
    pub(super) index: bool,
    pub(super) id: bool,
    /// `_version`, `_seq_no` and the like, which no server here has real values for.
    pub(super) rest: bool,
    pub(super) result: bool,
    pub(super) status: bool,
    pub(super) error_type: bool,
    pub(super) error_reason: bool,
    pub(super) failure_store: bool,
}

/// The parts of the answer that a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    pub(super) took: bool,
    pub(super) errors: bool,
    items: [ItemFields; Kind::ALL.len()],
}

impl Filter {
    /// Reads the `filter_path` of a query string; without one, everything is wanted. Exclusions
    /// (`-items`) are not known and match nothing.
    pub fn of_query(query: &str) -> Self {
        let value = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("filter_path="));
        let value = value.map(|value| {
            value
                .replace("%2C", ",")
                .replace("%2c", ",")
                .replace("%2A", "*")
        });
        let patterns: Option<Vec<Vec<&str>>> = value.as_ref().map(|value| {
            value
                .split(',')
                .map(|path| path.split('.').collect())
                .collect()
        });
        let wanted = |path: &[&str]| {
            patterns
                .as_ref()
                .is_none_or(|all| all.iter().any(|pattern| matches(pattern, path)))
        };
        let fields = |kind: Kind| {
            let field = |name: &str| wanted(&["items", kind.name(), name]);
            ItemFields {
                index: field("_index"),
                id: field("_id"),
                rest: field("_version"),
                result: field("result"),
                status: field("status"),
                error_type: wanted(&["items", kind.name(), "error", "type"]),
                error_reason: wanted(&["items", kind.name(), "error", "reason"]),
                failure_store: field("failure_store"),
            }
        };
        Self {
            took: wanted(&["took"]),
            errors: wanted(&["errors"]),
            items: Kind::ALL.map(fields),
        }
    }

    pub(super) fn item(&self, kind: Kind) -> &ItemFields {
        &self.items[kind as usize]
    }
}

/// A pattern wants a path when it matches the path or anything above it; `*` is any one segment and
/// `**` any number of them.
fn matches(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], _) => true,
        (["**", rest @ ..], _) => (0..=path.len()).any(|skipped| matches(rest, &path[skipped..])),
        (_, []) => false,
        ([first, rest @ ..], [segment, below @ ..]) => {
            (*first == "*" || first == segment) && matches(rest, below)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_filter_everything_is_wanted() {
        let filter = Filter::of_query("timeout=1m");
        assert!(filter.took && filter.errors && filter.item(Kind::Create).rest);
    }

    #[test]
    fn wildcards_and_names_choose_fields() {
        let filter =
            Filter::of_query("filter_path=errors,items.*.status,items.index.error.type&timeout=1m");
        assert!(filter.errors && !filter.took);
        let status = ItemFields {
            status: true,
            ..ItemFields::default()
        };
        assert_eq!(*filter.item(Kind::Create), status);
        assert_eq!(
            *filter.item(Kind::Index),
            ItemFields {
                error_type: true,
                ..status
            }
        );
        let encoded = Filter::of_query("filter_path=items.*.error%2Cerrors");
        assert!(encoded.errors && encoded.item(Kind::Delete).error_reason);
        assert_eq!(
            Filter::of_query("filter_path=**.status").item(Kind::Create),
            &status
        );
    }
}
