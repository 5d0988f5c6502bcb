//! The table as such: each row can be reached, and what real servers answered gets its class.

use super::*;

fn fault<'a>(kind: &'a str, reason: &'a str) -> Option<Fault<'a>> {
    (!kind.is_empty() || !reason.is_empty()).then(|| Fault {
        kind: kind.into(),
        reason: reason.into(),
        caused_by: None,
    })
}

#[test]
fn no_row_is_hidden_by_one_before_it_and_none_has_the_name_of_another() {
    for row in TABLE {
        let found = find(
            row.level,
            *row.status.start(),
            fault(row.kind, row.reason).as_ref(),
        );
        assert_eq!(found.map(|found| found.id), Some(row.id));
        let named = TABLE.iter().filter(|other| other.id == row.id);
        assert_eq!(named.count(), 1, "{}", row.id);
    }
}

/// The words of one level are not said of another: an outage rejects nothing, and no index is held for
/// the state of a host.
#[test]
fn each_level_has_actions_of_its_own() {
    for row in TABLE {
        let action = row.class.action();
        let fits = match row.level {
            Level::Item => matches!(
                action,
                Action::Deliver
                    | Action::AlreadyPresent
                    | Action::RetryItem
                    | Action::HoldTarget
                    | Action::CountAttempt
                    | Action::Reject(_)
            ),
            Level::Request => matches!(
                action.of_request(),
                Action::ReadItems
                    | Action::RetryRequest
                    | Action::AskAnother
                    | Action::RetrySmaller
                    | Action::HoldConnection
                    | Action::Split(_)
                    | Action::ClientBug
            ),
            Level::Connection => matches!(
                action,
                Action::AskAnother | Action::RetrySmaller | Action::Split(_)
            ),
        };
        assert!(fits, "{}: {action:?}", row.id);
        let holds = matches!(
            action,
            Action::HoldTarget | Action::HoldConnection | Action::ClientBug
        );
        assert!(
            !holds || !row.class.advice().is_empty(),
            "{}: what can be done about it?",
            row.id
        );
    }
}

/// What real servers wrote, and what it means.
#[test]
fn items_are_classed_by_status_type_and_reason() {
    use Class::*;
    for (status, kind, reason, class) in [
        (201, "", "", Stored),
        (200, "", "", Stored),
        (
            409,
            "version_conflict_engine_exception",
            "[1]: version conflict, document already exists (current version [1])",
            Present,
        ),
        (
            429,
            "es_rejected_execution_exception",
            "rejected execution of primary operation",
            Busy,
        ),
        (
            429,
            "circuit_breaking_exception",
            "[parent] Data too large",
            Busy,
        ),
        (
            429,
            "cluster_block_exception",
            "index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark];",
            DiskFull,
        ),
        (
            403,
            "cluster_block_exception",
            "index [x] blocked by: [FORBIDDEN/8/index write (api)];",
            Blocked,
        ),
        (
            403,
            "security_exception",
            "action [indices:admin/auto_create] is unauthorized",
            NotPermitted,
        ),
        (
            400,
            "illegal_argument_exception",
            "pipeline with id [x] does not exist",
            Misconfigured,
        ),
        (
            400,
            "illegal_argument_exception",
            "no write index is defined for alias [x]. The write index may be explicitly disabled",
            Misconfigured,
        ),
        (
            400,
            "validation_exception",
            "Validation Failed: 1: this action would add [2] shards, but this cluster currently has [1000]/[1000] maximum normal shards open;",
            Shards,
        ),
        (
            400,
            "illegal_argument_exception",
            "Validation Failed: 1: this action would add [2] total shards, but this cluster currently has [1000]/[1000] maximum shards open;",
            Shards,
        ),
        (
            400,
            "illegal_argument_exception",
            "Number of documents in the shard cannot exceed [2147483519]; for more information, see [https://…]",
            Full,
        ),
        (
            400,
            "illegal_argument_exception",
            "Number of documents in shard [logs][0] exceeds the limit of [2147483519] documents per shard",
            Full,
        ),
        (
            400,
            "illegal_argument_exception",
            "Limit of total fields [10] has been exceeded",
            Fields,
        ),
        (
            400,
            "document_parsing_exception",
            "[1:9] failed to parse field [n] of type [long]",
            Document,
        ),
        (
            400,
            "illegal_argument_exception",
            "Document contains at least one immense term in field=\"k\"",
            Document,
        ),
        (400, "some_new_exception", "whatever", Refused),
        (405, "", "", Refused),
        (302, "", "", Refused),
        (
            500,
            "not_x_content_exception",
            "Compressor detection can only be called on some xcontent bytes",
            Document,
        ),
        (
            500,
            "fail_processor_exception",
            "debug is not kept",
            Unwanted,
        ),
        (
            500,
            "mapper_exception",
            "timed out while waiting for a dynamic mapping update",
            Busy,
        ),
        (500, "mapper_exception", "another", Fault),
        (500, "null_pointer_exception", "", Fault),
        (503, "process_cluster_event_timeout_exception", "", Busy),
        (
            503,
            "unavailable_shards_exception",
            "[x][0] primary shard is not active Timeout: [10s], request: [BulkShardRequest [[x][0]] containing [9] requests]",
            ShardAway,
        ),
    ] {
        let found = class_of(Level::Item, status, fault(kind, reason).as_ref());
        assert_eq!(found, class, "{status} {kind} {reason}");
    }
}

#[test]
fn a_reason_counts_wherever_in_the_chain_it_stands() {
    let error = r#"{
        "type": "document_parsing_exception",
        "reason": "[1:2] failed to parse",
        "caused_by": {
            "type": "illegal_argument_exception",
            "reason": "Limit of total fields [10] has been exceeded"
        }
    }"#;
    let row = row_of(Level::Item, 400, Some(error)).expect("it is known");
    assert_eq!(row.id, "field_limit");
}

#[test]
fn requests_are_classed_by_status() {
    use Class::*;
    for (status, kind, reason, class) in [
        (200, "", "", Answered),
        (429, "es_rejected_execution_exception", "", Busy),
        (503, "cluster_block_exception", "", Away),
        (502, "", "", Away),
        (413, "", "", TooLarge),
        (403, "security_exception", "", Denied),
        (
            400,
            "illegal_argument_exception",
            "Malformed action/metadata line [1]",
            Malformed,
        ),
        (
            400,
            "illegal_argument_exception",
            "request [/_bulk] contains unrecognized parameter: [x]",
            NotUnderstood,
        ),
        (415, "", "", Encoding),
        (404, "", "", Foreign),
        (302, "", "", Foreign),
        (204, "", "", Foreign),
    ] {
        let found = class_of(Level::Request, status, fault(kind, reason).as_ref());
        assert_eq!(found, class, "{status} {kind} {reason}");
    }
}
