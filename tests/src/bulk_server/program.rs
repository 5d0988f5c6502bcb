//! The stand-in in a process of its own, for measurements: what it uses must not be counted with what
//! is measured.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::process::{Launch, Process};
use crate::scratch::Scratch;
use crate::services::{START_LIMIT, STOP_LIMIT, SearchClient};
use crate::{ports, wait};

/// A running `bulk-server` program. Dropping it kills it.
#[derive(Debug)]
pub struct BulkServerProgram {
    process: Process,
    client: SearchClient,
    _scratch: Scratch,
}

impl BulkServerProgram {
    /// Starts the program `binary` (in a test: `env!("CARGO_BIN_EXE_bulk-server")`), with or without
    /// memory of ids, and waits until it answers.
    pub fn start(binary: &Path, keep_ids: bool) -> Result<Self> {
        let arguments: &[&str] = if keep_ids { &[] } else { &["--no-ids"] };
        Self::start_with(binary, arguments)
    }

    /// As [`BulkServerProgram::start`], with the program's own arguments but for the port.
    pub fn start_with(binary: &Path, arguments: &[&str]) -> Result<Self> {
        let scratch = Scratch::new("bulk-server")?;
        let port = ports::free()?;
        let launch = Launch::new(binary, &scratch.path().join("bulk-server.log"))
            .arguments(["--port".to_owned(), port.to_string()])
            .arguments(arguments);
        let mut process = Process::start(launch)?;
        let client = SearchClient::new(&format!("127.0.0.1:{port}"));
        wait::until("the stand-in's first answer", START_LIMIT, || {
            process.check_running()?;
            client.check_health(Duration::from_secs(2))
        })?;
        Ok(Self {
            process,
            client,
            _scratch: scratch,
        })
    }

    /// `http://` and its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.client.address())
    }

    /// A client for its counts.
    pub fn client(&self) -> &SearchClient {
        &self.client
    }

    /// What it has counted so far: the JSON of [`Statistics`](super::Statistics).
    pub fn statistics(&self) -> Result<Value> {
        self.client.json("GET", "/_stats", None)
    }

    /// The program, for its memory, CPU time, and to pause or kill it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ends the program.
    pub fn stop(&mut self) -> Result<()> {
        self.process.stop(STOP_LIMIT).map(drop)
    }
}
