//! The table and its JSON: what was measured, with which command, on what.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use testkit::figures::Spread;

/// What one case came to.
pub struct Row {
    pub name: String,
    pub work: String,
    pub records: u64,
    /// CPU time of the process, user and system, in µs for each record.
    pub cpu: Spread,
    /// The same as a multiple of what `limit` took beside it; none without Kafka.
    pub ratio: Option<Spread>,
    /// Records each second, from the start of the process to its end.
    pub rate: Spread,
    /// In bytes.
    pub peak_memory: Spread,
    pub allocations: Option<f64>,
    /// What else there is to say.
    pub note: String,
}

const MIB: f64 = 1_048_576.0;

impl Row {
    fn cells(&self) -> [String; 8] {
        let Spread { median, min, max } = self.cpu;
        let digits = if median < 0.1 { 4 } else { 2 };
        let ratio = self.ratio.map(|ratio| {
            let Spread { median, min, max } = ratio;
            format!("{median:.2} ({min:.2}-{max:.2})")
        });
        [
            self.name.clone(),
            self.records.to_string(),
            format!("{median:.digits$} ({min:.digits$}-{max:.digits$})"),
            ratio.unwrap_or_default(),
            format!("{:.0}", self.rate.median),
            format!("{:.0}", self.peak_memory.max / MIB),
            self.allocations
                .map(|count| format!("{count:.4}"))
                .unwrap_or_default(),
            format!("{}{}", self.work, self.note),
        ]
    }

    fn json(&self) -> Value {
        let spread =
            |Spread { median, min, max }: Spread| json!({"median": median, "min": min, "max": max});
        json!({
            "name": self.name,
            "work": self.work,
            "records": self.records,
            "cpu_us_per_record": spread(self.cpu),
            "ratio_to_limit": self.ratio.map(spread),
            "records_per_second": spread(self.rate),
            "peak_memory_bytes": spread(self.peak_memory),
            "allocations_per_record": self.allocations,
            "note": self.note,
        })
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
        .chain(rows.iter().map(Row::cells))
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

/// Everything as JSON.
pub fn json(rows: &[Row], command: &str, runs: usize) -> Result<Value> {
    Ok(json!({
        "command": command,
        "runs": runs,
        "date": output("date", &["--utc", "+%Y-%m-%d"])?,
        "revision": output("git", &["describe", "--always", "--dirty", "--exclude=*"])?,
        "machine": machine()?,
        "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
    }))
}

/// Writes the JSON to `results/DATE-REVISION.json` and returns the path.
pub fn save(json: &Value, directory: &Path) -> Result<std::path::PathBuf> {
    let name = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
    let path = directory.join(format!("{}-{}.json", name("date"), name("revision")));
    let text = format!("{}\n", serde_json::to_string_pretty(json)?);
    std::fs::create_dir_all(directory)?;
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
