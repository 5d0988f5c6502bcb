//! The outcome table of the `elasticsearch` bolt as a page of Markdown.

use isobar_operators::outcome::{Action, Level, Proof, Row, Server, TABLE};

const HEAD: &str = "\
<!-- Made by `cargo regenerate` from the outcome table. Do not edit. -->

# Outcomes

What Elasticsearch and OpenSearch answer, and what becomes of the records. The first row of a level that matches counts; a status or reason that no row has means, for a document, that it is refused, and for a request, that what answered is something else. A reason is looked for in the whole chain of causes.

Where an index that would be held takes other documents of the same request, only what it refuses waits. Where all documents of an index in a request, 16 or more, are refused for one reason that no row knows, the index is at fault and held; a fault of the server on every document of an index is an outage, and the index is named in `/readyz` meanwhile. So is one of which no document was taken for 30 s while some were sent again later, alone or with their request. Where no document of a request is understood, the requests as such are at fault: that is told, and its records wait. A document that is left alone is rejected as one that is not understood (`malformed`) only where the host that says so has understood another request of the same body, and has not failed since; where only a host says so that is set up otherwise, while others are away, its record waits. Where such a host understands requests of other bodies meanwhile it counts as an attempt, of `max_attempts`.

Where hosts that take other requests refuse one as a whole with 403, 500, 501 or 502, it may be for what one document holds, as by a firewall, or for its index: it is sent again in halves. A document that is left alone waits as one that its index refuses does, and so do others of an index that took none of the same body: that is told, and `on_held` says for how long. One that is left alone and too large for a host (`body_too_large`) is rejected where all hosts say so; while one of them is away it waits.
";

const END: &str = "
## Tried on no server

Logins by an API key: the distributions of the tests make none, so what is sent of one is looked at by the stand-in alone. What an anonymous or wrong user, or one who may not write, is answered was seen on Elasticsearch: `unauthenticated`, `forbidden` and `not_permitted`. OpenSearch is tried without its security plugin.
";

/// The page.
pub fn outcomes() -> String {
    let mut page = HEAD.to_owned();
    for (level, title) in [
        (Level::Connection, "Requests without an answer to believe"),
        (Level::Request, "Requests"),
        (Level::Item, "Documents"),
    ] {
        page.push_str(&format!("\n## {title}\n\n"));
        page.push_str("| row | status | type | reason contains | what happens | seen on |\n|---|---|---|---|---|---|\n");
        for row in TABLE.iter().filter(|row| row.level == level) {
            page.push_str(&line(row));
        }
    }
    page.push_str(END);
    page
}

fn line(row: &Row) -> String {
    let status = match (*row.status.start(), *row.status.end()) {
        (0, _) => String::new(),
        (from, to) if from == to => from.to_string(),
        (from, to) => format!("{from} to {to}"),
    };
    format!(
        "| {} | {status} | {} | {} | {} | {} |\n",
        row.id,
        row.kind,
        row.reason,
        action(row),
        proof(row.proof)
    )
}

fn action(row: &Row) -> String {
    match row.class.action() {
        Action::Deliver => "delivered".to_owned(),
        Action::AlreadyPresent => "already present".to_owned(),
        Action::RetryItem if row.level == Level::Request => {
            "the request is sent again later".to_owned()
        }
        Action::RetryItem => "the document is sent again later".to_owned(),
        Action::HoldTarget if row.class.is_of_a_shard() => {
            "the document is sent again later, see `on_held`; the index is held where it takes no others".to_owned()
        }
        Action::HoldTarget => "the index is held: its records wait, see `on_held`".to_owned(),
        Action::CountAttempt => {
            "the document is sent again, `max_attempts` times in all".to_owned()
        }
        Action::Reject(class) => format!("rejected as `{class}`"),
        Action::ReadItems => "its documents are looked at".to_owned(),
        Action::RetryRequest => "the request is sent again later".to_owned(),
        Action::AskAnother => {
            "the host is left out for a while, the request is sent to another".to_owned()
        }
        Action::RetrySmaller => {
            let smaller = "the host is left out for a while, the records are sent again later, and requests are \
                           halved until they are done in time";
            match row.level {
                Level::Request => format!(
                    "after a second or longer: {smaller}; sooner, as by a proxy with nothing behind it: the \
                     request is sent to another"
                ),
                _ => smaller.to_owned(),
            }
        }
        Action::HoldConnection => "the same, and what to change is told; records wait".to_owned(),
        Action::Split(class) => {
            format!("sent again in halves; a document that is left alone is rejected as `{class}`")
        }
        Action::ClientBug => {
            "the host is left out: this version does not fit the server; records wait".to_owned()
        }
    }
}

fn proof(proof: Proof) -> String {
    match proof {
        Proof::StandIn(why) => format!("the stand-in of the tests alone: {why}"),
        Proof::Servers(servers) => {
            let names = servers.iter().map(|server| match server {
                Server::Elasticsearch8 => "Elasticsearch 8",
                Server::Elasticsearch9 => "Elasticsearch 9",
                Server::OpenSearch2 => "OpenSearch 2",
                Server::OpenSearch3 => "OpenSearch 3",
            });
            names.collect::<Vec<_>>().join(", ")
        }
    }
}
