//! What the path of a record costs in instructions. A figure that is more than five percent away from that of
//! `tests/bench/instructions.json` fails: above as it got dearer, below as nothing would guard the gain. Where more work is meant, or less was reached, move the
//! figures there and say why in the commit: `ISOBAR_BASELINE=move tests/run e2e instructions`.

use std::collections::BTreeMap;
use std::path::Path;

use testkit::bulk_server::BulkServerProgram;
use testkit::instructions::Work;
use testkit::isobar::counting;
use testkit::services::setting;

use crate::support::Steps;

/// Runs of one program differ by half a percent. Code elsewhere moves the figures by up to three, as the
/// compiler inlines otherwise; its version is pinned.
const TOLERANCE: f64 = 0.05;

#[test]
fn no_record_costs_more_than_before() {
    let mut steps = Steps::new("instructions");
    let program = counting().expect("the program is built");
    // Two at a time: a count does not change with what else the machine does.
    let measured: BTreeMap<String, u64> = std::thread::scope(|scope| {
        let halves = cases().map(|half| {
            let program = &program;
            scope.spawn(move || {
                half.map(|(name, work)| (name.to_owned(), count(program, name, &work)))
            })
        });
        let halves = halves.into_iter().map(|half| half.join());
        halves
            .flat_map(|half| half.expect("each is counted"))
            .collect()
    });
    for (name, counted) in &measured {
        steps.done(&format!("{name}: {counted} instructions for each record"));
    }
    let more = measured[MORE].saturating_sub(measured[JSON]) / BOLTS;
    steps.done(&format!(
        "one more bolt that sets a field: {more} instructions"
    ));
    assert!(
        more <= BOLT_MAX,
        "one more bolt that sets a field takes {more} instructions"
    );

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/instructions.json");
    if setting("ISOBAR_BASELINE").as_deref() == Some("move") {
        let text = serde_json::to_string_pretty(&measured).expect("JSON");
        std::fs::write(&file, text + "\n").expect("the figures can be kept");
        return;
    }
    let text = std::fs::read_to_string(&file).expect("there are figures");
    let baseline: BTreeMap<String, u64> = serde_json::from_str(&text).expect("of each case");
    assert!(
        measured.keys().eq(baseline.keys()),
        "{} has other cases",
        file.display()
    );
    let away = measured.iter().filter(|(name, counted)| {
        (**counted as f64 / baseline[*name] as f64 - 1.0).abs() > TOLERANCE
    });
    let away: Vec<String> = away
        .map(|(name, counted)| format!("{name}: {counted}, was {}", baseline[name]))
        .collect();
    assert!(
        away.is_empty(),
        "instructions for each record:\n{}\nIf this is meant: ISOBAR_BASELINE=move tests/run e2e instructions",
        away.join("\n")
    );
}

/// Instructions of the program for each record, with a stand-in of its own.
fn count(program: &Path, name: &str, work: &Work) -> u64 {
    let binary = Path::new(env!("CARGO_BIN_EXE_bulk-server"));
    let mut stand_in = BulkServerProgram::start(binary, false).expect("the stand-in starts");
    let counted = work.per_record(program, &stand_in);
    stand_in.stop().expect("it stops when asked");
    counted.unwrap_or_else(|error| panic!("{name}: {error:#}"))
}

const JSON: &str = "json-es";
const MORE: &str = "json-es with five more bolts";

/// Bolts more, of which each sets one field: so many that what two counts differ by, half a percent, is little
/// for each.
const BOLTS: u64 = 5;

/// What each may take for a record.
const BOLT_MAX: u64 = 300;

/// Name and work, in two halves that take as long.
fn cases() -> [[(&'static str, Work); 2]; 2] {
    let more = Work::json_es();
    let mut bolts = more.bolts.replace("enrich:", "more_0:");
    for number in 1..=BOLTS {
        let name = match number {
            BOLTS => "enrich".to_owned(),
            _ => format!("more_{number}"),
        };
        bolts += &format!(
            "  {name}: {{type: set_fields, inputs: [more_{}], fields: {{more_{number}: text}}}}\n",
            number - 1
        );
    }
    let more = Work { bolts, ..more };
    let access = "192.0.2.17 - frank [01/Jan/2026:00:20:34 +0000] \"GET /shop/item/012345 HTTP/1.1\" 200 \
                  5432 \"https://www.example.com/start\" \"Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0\"";
    let syslog = "<165>1 2026-01-01T00:20:34.500Z web-17 shop 4711 ID47 [order@32473 id=\"12345\" \
                  zone=\"eu-1\"] basket paid, delivery is on its way";
    [
        [
            (JSON, Work::json_es()),
            ("access-es", Work::enriched(access, "parse_access_log")),
        ],
        [
            (MORE, more),
            ("syslog-es", Work::enriched(syslog, "parse_syslog")),
        ],
    ]
}
