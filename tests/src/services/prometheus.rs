//! Debian's Prometheus, to check that what Isobar exports is what rules and dashboards ask for.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{START_LIMIT, STOP_LIMIT, installed};
use crate::process::{Launch, Process};
use crate::scratch::Scratch;
use crate::{http, ports, wait};

/// A running Prometheus that scrapes every second. Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct Prometheus {
    process: Process,
    address: String,
    _scratch: Scratch,
}

impl Prometheus {
    /// Starts a server that scrapes `/metrics` of these addresses (`host:port`) under the job `isobar`
    /// and evaluates these rule files every second.
    pub fn start(targets: &[&str], rule_files: &[&Path]) -> Result<Self> {
        let program = installed("prometheus", "prometheus")?;
        let scratch = Scratch::new("prometheus")?;
        let address = format!("127.0.0.1:{}", ports::free()?);
        let rules: Vec<String> = rule_files
            .iter()
            .map(|path| Ok(std::path::absolute(path)?.display().to_string()))
            .collect::<Result<_>>()?;
        let text = serde_json::json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": rules,
            "scrape_configs": [{"job_name": "isobar", "static_configs": [{"targets": targets}]}],
        });
        // JSON is YAML.
        let file = scratch.file("prometheus.yml", &text.to_string())?;
        let launch = Launch::new(&program, &scratch.path().join("prometheus.log")).arguments([
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}/data", scratch.path().display()),
            format!("--web.listen-address={address}"),
        ]);
        let mut process = Process::start(launch)?;
        wait::until("Prometheus' readiness", START_LIMIT, || {
            process.check_running()?;
            let answer = http::get(&address, "/-/ready")?;
            if answer.status != 200 {
                bail!("{}", answer.text());
            }
            Ok(())
        })
        .map_err(|error| error.context(process.log_tail()))?;
        Ok(Self {
            process,
            address,
            _scratch: scratch,
        })
    }

    /// `host:port` of its HTTP API.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Evaluates a query now and returns the `result` list of its answer.
    pub fn query(&self, query: &str) -> Result<Vec<Value>> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = http::get(&self.address, &format!("/api/v1/query?query={encoded}"))?.json()?;
        let result = answer["data"]["result"].as_array();
        Ok(result
            .with_context(|| format!("no result in {answer}"))?
            .clone())
    }

    /// Ends the server.
    pub fn stop(&mut self) -> Result<()> {
        self.process.stop(STOP_LIMIT).map(drop)
    }
}

/// Runs promtool, such as `["check", "rules", PATH]`, and fails with what it printed unless it succeeds.
pub fn promtool(arguments: &[&str]) -> Result<()> {
    let output = Command::new(installed("promtool", "prometheus")?)
        .args(arguments)
        .output()?;
    if !output.status.success() {
        let printed = [output.stdout, output.stderr].concat();
        bail!(
            "promtool {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&printed)
        );
    }
    Ok(())
}
