//! The table and its JSON: what was measured, with which command, on what.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use testkit::figures::Spread;

use crate::stage::Run;

/// What one case came to.
pub struct Row {
    pub name: String,
    pub work: String,
    pub records: u64,
    /// How often it ran: of so many runs the figures are.
    pub runs: usize,
    pub took: Took,
    /// What `limit` took for the same records, in turns with the case, and the case's CPU time as a multiple
    /// of that, pair by pair; none without Kafka.
    pub limit: Option<(Took, Spread)>,
    pub allocations: Option<f64>,
    /// What else there is to say.
    pub note: String,
    /// Further members of the JSON: the figures that the note is made of, where there are some.
    pub more: Value,
}

/// Figures that are no cost for each record, by their names, which end in their units.
pub struct Figures(pub Vec<(&'static str, Spread)>);

impl Figures {
    /// `p50_ms 8.1 (7.9-8.4), ...`.
    pub fn text(&self) -> String {
        let one = |(name, Spread { median, min, max }): &(&str, Spread)| {
            let digits = if *median < 10.0 { 2 } else { 1 };
            format!("{name} {median:.digits$} ({min:.digits$}-{max:.digits$})")
        };
        self.0.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    pub fn json(&self) -> Value {
        let members = self.0.iter();
        let members = members.map(|(name, figure)| ((*name).to_owned(), spread(*figure)));
        Value::Object(members.collect())
    }
}

/// What runs of a program over the same records took.
pub struct Took {
    /// CPU time of the process, user and system, in µs for each record.
    pub cpu: Spread,
    /// Records each second, from the start of the process to its end.
    pub rate: Spread,
    /// In bytes.
    pub peak_memory: Spread,
}

impl Took {
    /// Of runs over so many records each.
    pub fn of(runs: &[Run], records: u64) -> Self {
        let records = records as f64;
        let spread =
            |figure: fn(&Run, f64) -> f64| Spread::of(runs.iter().map(|run| figure(run, records)));
        Self {
            cpu: spread(|run, records| run.usage.cpu.as_secs_f64() * 1e6 / records),
            rate: spread(|run, records| records / run.wall.as_secs_f64()),
            peak_memory: spread(|run, _| run.usage.peak_memory as f64),
        }
    }

    fn json(&self) -> Value {
        json!({
            "cpu_us_per_record": spread(self.cpu),
            "records_per_second": spread(self.rate),
            "peak_memory_bytes": spread(self.peak_memory),
        })
    }
}

const MIB: f64 = 1_048_576.0;

fn cpu_cell(Spread { median, min, max }: Spread) -> String {
    let digits = if median < 0.1 { 4 } else { 2 };
    format!("{median:.digits$} ({min:.digits$}-{max:.digits$})")
}

fn spread(Spread { median, min, max }: Spread) -> Value {
    json!({"median": median, "min": min, "max": max})
}

impl Row {
    /// The line of the case and that of `limit` below it.
    fn lines(&self) -> Vec<[String; 8]> {
        let line = |name: &str, took: &Took, more: [String; 3]| {
            let [ratio, allocations, work] = more;
            [
                name.to_owned(),
                self.records.to_string(),
                cpu_cell(took.cpu),
                ratio,
                format!("{:.0}", took.rate.median),
                format!("{:.0}", took.peak_memory.max / MIB),
                allocations,
                work,
            ]
        };
        let ratio = self.limit.as_ref().map(|(_, ratio)| {
            let Spread { median, min, max } = ratio;
            format!("{median:.2} ({min:.2}-{max:.2})")
        });
        let allocations = self.allocations.map(|count| format!("{count:.4}"));
        let more = [
            ratio.unwrap_or_default(),
            allocations.unwrap_or_default(),
            format!("{}{}", self.work, self.note),
        ];
        let mut lines = vec![line(&self.name, &self.took, more)];
        if let Some((took, _)) = &self.limit {
            lines.push(line("  limit", took, Default::default()));
        }
        lines
    }

    fn json(&self) -> Value {
        let mut row = json!({
            "name": self.name,
            "work": self.work,
            "records": self.records,
            "runs": self.runs,
            "ratio_to_limit": self.limit.as_ref().map(|(_, ratio)| spread(*ratio)),
            "limit": self.limit.as_ref().map(|(took, _)| took.json()),
            "allocations_per_record": self.allocations,
            "note": self.note,
        });
        for further in [self.took.json(), self.more.clone()] {
            if let (Value::Object(row), Value::Object(further)) = (&mut row, further) {
                row.extend(further);
            }
        }
        row
    }
}

const HEADS: [&str; 8] = [
    "CASE",
    "RECORDS",
    "CPU us/RECORD",
    "x LIMIT",
    "RECORDS/s",
    "PEAK MiB",
    "ALLOCATIONS",
    "WORK",
];

/// The rows as a table.
pub fn table(rows: &[Row]) -> String {
    let cells: Vec<_> = std::iter::once(HEADS.map(str::to_owned))
        .chain(rows.iter().flat_map(Row::lines))
        .collect();
    let width = |column: usize| cells.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    let mut text = String::new();
    for row in &cells {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let cell = match column {
                0 | 7 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            };
            text.push_str(&cell);
            text.push_str("  ");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// What the name of a revision ends in where files differ from it.
pub const DIRTY: &str = "-dirty";

/// The revision of the checkout.
pub fn revision() -> Result<String> {
    let dirty = format!("--dirty={DIRTY}");
    output("git", &["describe", "--always", &dirty, "--exclude=*"])
}

/// Everything as JSON.
pub fn json(rows: &[Row], command: &str, revision: &str) -> Result<Value> {
    Ok(json!({
        "command": command,
        "date": output("date", &["--utc", "+%Y-%m-%d"])?,
        "revision": revision,
        "machine": machine()?,
        "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
    }))
}

/// Writes the JSON to `results/DATE-REVISION.json`, or with a number behind it where that is there, and
/// returns the path.
pub fn save(json: &Value, directory: &Path) -> Result<std::path::PathBuf> {
    let name = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
    let name = format!("{}-{}", name("date"), name("revision"));
    let text = format!("{}\n", serde_json::to_string_pretty(json)?);
    std::fs::create_dir_all(directory)?;
    let mut names = std::iter::once(name.clone()).chain((2..).map(|more| format!("{name}-{more}")));
    let path = names.find_map(|name| {
        let path = directory.join(format!("{name}.json"));
        (!path.exists()).then_some(path)
    });
    let path = path.context("numbers do not end")?;
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// The processor, how many there are, and the kernel.
fn machine() -> Result<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
    let model = info
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism()?;
    Ok(format!("{cores} x {model}, {}", output("uname", &["-sr"])?))
}

fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
