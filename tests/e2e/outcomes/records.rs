//! What becomes of records when a server answers so: a topology with the sink at its end writes to it.

use std::time::Duration;

use isobar_operators::outcome::{Action, TABLE};
use isobar_operators::replay::{self, live_sinks};
use isobar_topology::spec::{Node, Spec};
use serde_json::{Value, json};
use testkit::services::{PASSWORD, Search, SearchClient, USERS};
use testkit::sink::{LIMIT, Payload, Ran, Setup};
use testkit::wait;

use super::Seen;
use super::answers::settings;

/// Lets records meet everything that the server can be brought to, and returns the rows.
pub(super) fn see(search: &mut Search) -> Seen {
    let guarded = search.version().directory().starts_with("elasticsearch");
    let [admin, ..] = USERS;
    let mut records = Records {
        client: search.client().clone(),
        url: search.url(),
        auth: guarded.then(|| auth(admin, PASSWORD)),
        seen: Seen::new(),
    };
    records.arrive();
    records.are_rejected();
    records.wait_for_indices();
    records.wait_for_a_shard();
    if guarded {
        records.wait_for_rights();
        records.are_seen_without_a_refresh();
    }
    records.wait_for_hosts(search);
    records.seen
}

struct Records {
    client: SearchClient,
    url: String,
    auth: Option<Value>,
    seen: Seen,
}

impl Records {
    fn setup(&self, index: &'static str) -> Setup {
        let mut setup = Setup::to(index, self.url.clone());
        // A machine that is busy with other things must not look like a server that hangs.
        setup.connection = json!({"request_timeout": "60s"});
        if let Some(auth) = &self.auth {
            setup.connection["auth"] = auth.clone();
        }
        setup.with(&json!({"index": index}))
    }

    fn put(&self, path: &str, body: &Value) {
        let done = self.client.json("PUT", path, Some(body));
        let _ = done.unwrap_or_else(|error| panic!("{error:#}"));
    }

    fn count(&self, index: &str) -> u64 {
        self.client.refresh(index).expect("it refreshes");
        self.client.count(index).expect("it counts")
    }

    fn arrive(&mut self) {
        let compressed = self.setup("arrived").with(&json!({"compression": "gzip"}));
        let ran = compressed.run();
        assert_eq!(ran.account.delivered, 1_000, "{:?}", ran.account);
        let again = self.setup("arrived").run();
        assert_eq!(again.account.already_present, 1_000, "{:?}", again.account);
        assert_eq!(self.count("arrived"), 1_000);
        self.seen.extend(["answered", "stored", "present"]);
    }

    /// The records of offset 7 do not fit and leave alone; the others arrive.
    fn are_rejected(&mut self) {
        let mappings =
            json!({"n": {"type": "long"}, "text": {"type": "text"}, "_isobar": {"enabled": false}});
        let strict = json!({"dynamic": "strict", "properties": mappings});
        self.put("/strictly", &json!({ "mappings": strict }));
        self.put(
            "/few",
            &json!({"mappings": {"properties": mappings}, "settings": {"index.mapping.total_fields.limit": 4}}),
        );
        self.put("/typed", &json!({"mappings": {"properties": mappings}}));
        let cases: [(&str, Payload, &[&'static str]); 3] = [
            (
                "strictly",
                |n| seventh(n, ",\"extra\":1"),
                &["strict_mapping"],
            ),
            (
                "few",
                |n| seventh(n, ",\"a\":1,\"b\":2,\"c\":3"),
                &["field_limit"],
            ),
            (
                "typed",
                |n| seventh(n, ",\"text\":{\"a\":1}"),
                &["document", "document_opensearch"],
            ),
        ];
        for (index, payload, rows) in cases {
            let setup = Setup {
                payload,
                ..self.setup(index)
            };
            let ran = setup.run();
            let row = self.row_of(&ran, rows);
            assert_eq!(self.count(index), 998, "{row}");
        }
        let wordy =
            json!({"n": {"type": "long"}, "text": {"type": "long"}, "_isobar": {"enabled": false}});
        self.put("/wordy", &json!({"mappings": {"properties": wordy}}));
        let wordy = Setup {
            payload: |n| match n {
                7 => format!("{{\"n\":7,\"text\":\"{}\"}}", "x".repeat(100_000)),
                n => seventh(n, ""),
            },
            ..self.setup("wordy")
        }
        .with(&json!({"body_bytes": "512KiB", "body_records": 20}));
        let ran = wordy.run();
        let _ = self.row_of(&ran, &["document", "document_opensearch"]);
        assert_eq!(self.count("wordy"), 998);
        assert!(ran.count("requests_too_large") > 0, "it is not quoted");
        let _ = self.seen.insert("reply_too_long");
        let large = Setup {
            payload: |n| match n {
                7 => format!("{{\"n\":7,\"text\":\"{}\"}}", "x".repeat(1_100_000)),
                n => seventh(n, ""),
            },
            ..self.setup("large")
        };
        let _ = self.row_of(&large.run(), &["body_too_large"]);
        assert_eq!(self.count("large"), 998);
    }

    /// Checks that two records were rejected as one of these rows says.
    fn row_of(&mut self, ran: &Ran, rows: &[&'static str]) -> &'static str {
        let stored = ran.account.delivered + ran.account.already_present;
        let counted = (stored, ran.account.dead_lettered);
        assert_eq!(counted, (998, 2), "{rows:?}: {:?}", ran.letters);
        let rejection = &ran.letters[0].rejection;
        let found = TABLE.iter().find(|row| {
            let classed = matches!(
                row.class.action(),
                Action::Reject(class) | Action::Split(class) if class == rejection.class
            );
            let told = rejection.reason.contains(row.kind) && rejection.reason.contains(row.reason);
            rows.contains(&row.id) && classed && told
        });
        let row = found.unwrap_or_else(|| panic!("none of {rows:?}: {rejection:?}"));
        let _ = self.seen.insert(row.id);
        row.id
    }

    /// Runs into an index that takes nothing, sees it held for what the row says, lets it go, and finds
    /// every record in `counted`.
    fn held(
        &mut self,
        row: &'static str,
        setup: &Setup,
        release: impl FnOnce(&Self),
        counted: &str,
    ) {
        let run = setup.start();
        let condition = run.condition("held");
        let expected = TABLE.iter().find(|known| known.id == row).expect("a row");
        assert!(
            condition.contains(expected.kind) && condition.contains(expected.reason),
            "{row}: {condition}"
        );
        release(self);
        let ran = run.finish();
        assert_eq!(ran.account.dead_lettered, 0, "{row}");
        let sent = setup.partitions as u64 * setup.records as u64;
        assert_eq!(self.count(counted), sent, "{row}");
        let _ = self.seen.insert(row);
    }

    fn wait_for_indices(&mut self) {
        let post = |path: &'static str| {
            move |records: &Self| {
                let done = records.client.json("POST", path, None);
                let _ = done.unwrap_or_else(|error| panic!("{error:#}"));
            }
        };
        let unset = |index: &'static str, setting: &'static str| {
            move |records: &Self| {
                records.put(&format!("/{index}/_settings"), &json!({ setting: null }));
            }
        };
        self.put("/closed", &json!({}));
        post("/closed/_close")(self);
        let setup = self.setup("closed");
        self.held("index_closed", &setup, post("/closed/_open"), "closed");

        for (row, index, setting) in [
            ("index_blocked", "blocked", "index.blocks.write"),
            ("disk_full", "full", "index.blocks.read_only_allow_delete"),
        ] {
            self.put(&format!("/{index}"), &json!({"settings": {setting: true}}));
            let setup = self.setup(index);
            self.held(row, &setup, unset(index, setting), index);
        }

        settings(&self.client, &json!({"action.auto_create_index": "false"}));
        let setup = self.setup("missing");
        let create = |records: &Self| records.put("/missing", &json!({}));
        self.held("index_missing", &setup, create, "missing");
        settings(&self.client, &json!({"action.auto_create_index": null}));

        // One shard for the only node, and there are more. So few documents that the row alone tells.
        let limit = "cluster.max_shards_per_node";
        settings(&self.client, &json!({ limit: 1 }));
        let setup = Setup {
            records: 5,
            ..self.setup("crowded")
        };
        let raise = |records: &Self| settings(&records.client, &json!({ limit: null }));
        self.held("shard_limit", &setup, raise, "crowded");

        let setup = self.setup("piped").with(&json!({"pipeline": "pipe"}));
        let pipeline =
            |records: &Self| records.put("/_ingest/pipeline/pipe", &json!({"processors": []}));
        self.held("no_pipeline", &setup, pipeline, "piped");

        let alias = json!({"aliases": {"alias": {}}});
        self.put("/aliased-1", &alias);
        self.put("/aliased-2", &alias);
        let setup = self.setup("alias");
        let choose = |records: &Self| {
            records.put("/aliased-2/_alias/alias", &json!({"is_write_index": true}));
        };
        self.held("no_write_index", &setup, choose, "aliased-2");
    }

    /// Of two indices one has its only shard nowhere: the other one's records arrive meanwhile.
    fn wait_for_a_shard(&mut self) {
        let required = "index.routing.allocation.require._name";
        let nowhere = json!({ required: "nobody" });
        let path = "/shardless?wait_for_active_shards=0";
        self.put(path, &json!({ "settings": nowhere }));
        let setup = self
            .setup("beside")
            .with(&json!({"index": "{{ doc.n % 10 == 3 ? 'shardless' : 'beside' }}"}));
        let run = setup.start();
        let condition = run.condition("held");
        let told = "index `shardless` takes no documents: 503 unavailable_shards_exception: [shardless][0]";
        assert!(condition.starts_with(told), "{condition}");
        assert!(!condition.contains("source["), "{condition}");
        wait::until("the other index", LIMIT, || {
            let account = run.account();
            anyhow::ensure!(account.delivered == 900, "{account:?}");
            Ok(())
        })
        .expect("it is not held up");
        assert_eq!(run.conditions().len(), 1, "no host is away");
        self.put("/shardless/_settings", &json!({ required: null }));
        let ran = run.finish();
        let counted = (ran.account.delivered, ran.account.dead_lettered);
        assert_eq!(counted, (1_000, 0));
        assert_eq!(ran.count("requests_timed_out"), 0);
        assert_eq!((self.count("shardless"), self.count("beside")), (100, 900));
        let _ = self.seen.insert("shard_away");
    }

    /// Wrong credentials, no rights at all, and no right to one index.
    fn wait_for_rights(&mut self) {
        let [_, writer, nobody] = USERS;
        for (row, index, auth, kind) in [
            (
                "unauthenticated",
                "open-1",
                auth(writer, "wrong"),
                "opening",
            ),
            ("forbidden", "open-1", auth(nobody, PASSWORD), "connecting"),
            ("not_permitted", "foreign", auth(writer, PASSWORD), "held"),
        ] {
            let mut setup = Setup {
                settings: json!({"drain_timeout": "100ms"}),
                max_in_flight: 200,
                ..self.setup(index)
            };
            setup.connection["auth"] = auth;
            let run = setup.start();
            let condition = run.condition(kind);
            assert!(condition.contains("security_exception"), "{condition}");
            let ran = run.stop_with_open_records();
            assert_eq!(ran.letters.len(), 0, "{row}");
            let _ = self.seen.insert(row);
        }
        let mut open = self.setup("open-2");
        open.connection["auth"] = auth(writer, PASSWORD);
        assert_eq!(open.run().account.delivered, 1_000);
        assert_eq!(self.count("open-2"), 1_000);
    }

    /// Whoever may not refresh waits for the index to do so: by a name it is refused, by a pattern nothing is refreshed
    /// without a word.
    fn are_seen_without_a_refresh(&self) {
        let [_, writer, _] = USERS;
        for (index, name) in [("seen-1", "seen-1"), ("seen-2", "seen-{{ doc.day }}")] {
            let mut setup = self.setup(index);
            setup.connection["auth"] = auth(writer, PASSWORD);
            assert_eq!(setup.run().account.delivered, 1_000);
            let file = json!({
                "isobar": 1, "name": "seen",
                "connections": {
                    "kafka": {"type": "kafka", "brokers": "localhost:1"},
                    "search": {
                        "type": "elasticsearch", "hosts": [self.url], "auth": auth(writer, PASSWORD),
                    },
                },
                "spouts": {"in": {
                    "type": "kafka", "connection": "kafka", "topics": ["a"], "start": "earliest",
                }},
                "bolts": {"index": {
                    "type": "elasticsearch", "connection": "search", "inputs": ["in"], "index": name,
                    "on_rejected": "drop",
                }},
            });
            let spec = Spec::read(&Node::from_json(&file)).expect("sound");
            let sink = live_sinks(&spec, "in").remove(0);
            let search = replay::Search::of(&spec, &sink).expect("a client");
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let seen = runtime.block_on(search.make_visible());
            seen.unwrap_or_else(|error| panic!("{name}: {error}"));
            let count = self.client.count(index).expect("it counts");
            assert_eq!(count, 1_000, "{name}");
        }
    }

    /// A frozen server, which then is killed: amid a request by a new connection, as one by a connection that had
    /// answered before is sent again at once.
    fn wait_for_hosts(&mut self, search: &mut Search) {
        let mut setup = Setup {
            settings: json!({"retry_initial": "5ms", "retry_max": "50ms", "drain_timeout": "200ms"}),
            max_in_flight: 100,
            records: 20_000,
            ..self.setup("hosts")
        };
        setup.connection["request_timeout"] = json!("2s");
        let run = setup.start();
        wait::until("some documents", LIMIT, || {
            anyhow::ensure!(run.account().delivered > 0);
            Ok(())
        })
        .expect("it begins");
        search.pause();
        let wait_until_told = |row, words: &[&str]| {
            let told = wait::until(row, LIMIT, || {
                let conditions = run.conditions();
                let mut told = conditions.iter();
                let is_told = told.any(|told| words.iter().any(|word| told.contains(word)));
                anyhow::ensure!(is_told, "{conditions:?}");
                Ok(())
            });
            told.unwrap_or_else(|error| panic!("{error:#}"));
        };
        wait_until_told("timed_out", &["no answer within 2s"]);
        let _ = self.seen.insert("timed_out");
        // The connections of what was given up are closed. The next request follows after 0.8 s, and what becomes of it
        // is told until the one after it.
        wait_until_told("timed_out", &["no answer within 2s (4 times"]);
        wait::rest(Duration::from_millis(1_800));
        search.kill9();
        wait_until_told("broken", &["connection closed", "reset by peer"]);
        let _ = self.seen.insert("broken");
        wait_until_told("unconnected", &["refused"]);
        let _ = self.seen.insert("unconnected");
        let ran = run.stop_with_open_records();
        assert!(ran.letters.is_empty());
        assert!(ran.count("requests_unanswered") > 0);
    }
}

fn auth(user: &str, password: &str) -> Value {
    json!({"basic": {"username": user, "password": password}})
}

/// A payload that has something more in the record of offset 7.
fn seventh(offset: i64, more: &str) -> String {
    let more = if offset == 7 { more } else { "" };
    format!("{{\"n\":{offset}{more}}}")
}
