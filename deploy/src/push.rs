//! Sends the metrics to who cannot fetch them: in the line protocol of InfluxDB, and to a collector of
//! OpenTelemetry. Whoever does not take them holds nothing up, and is named in metrics and conditions.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::{ArgGroup, Args};
use isobar_topology::spec::units;
use isobar_topology::{Condition, clock};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::MissedTickBehavior;

use crate::endpoint::{Endpoint, client};
use crate::exit::Failure;
use crate::metrics::{Families, line_protocol, otlp};

/// Where metrics are sent.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("push_to").args(["push_influx", "push_otlp"]).multiple(true))]
pub struct PushArgs {
    /// Sends the metrics to this URL as well, in the line protocol of InfluxDB, such as
    /// http://influx:8086/api/v2/write?org=O&bucket=B or http://telegraf:8186/write.
    #[arg(long, value_name = "URL")]
    push_influx: Option<Endpoint>,

    /// Sends the metrics to this collector of OpenTelemetry as well (OTLP over HTTP, as JSON), such as
    /// http://collector:4318; without a path to /v1/metrics.
    #[arg(long, value_name = "URL")]
    push_otlp: Option<Endpoint>,

    /// The time from one sending of metrics to the next: 1s or more.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "10s",
        value_parser = interval,
        requires = "push_to"
    )]
    push_every: units::Duration,

    /// A file with headers that are sent along, one a line, such as `Authorization: Token SECRET`.
    #[arg(long, value_name = "FILE", requires = "push_to")]
    push_headers: Option<PathBuf>,
}

/// A request takes this long at most, and not longer than from one to the next.
const WITHIN: Duration = Duration::from_secs(10);
/// Metrics are sent no more often than this.
const EVERY_MIN: Duration = Duration::from_secs(1);
/// What is sent when the program ends may hold its end up for so long.
const LAST_WITHIN: Duration = Duration::from_secs(2);

impl PushArgs {
    /// Whether anything is to be sent.
    pub fn sends(&self) -> bool {
        self.push_influx.is_some() || self.push_otlp.is_some()
    }

    /// Those to whom is sent. `instance` tells copies of the program apart.
    ///
    /// Fails when the file of headers cannot be read or a line of it is no header.
    pub fn pushes(&self, instance: &str) -> Result<Pushes, Failure> {
        // A client costs: it reads the authorities that the system trusts.
        if !self.sends() {
            return Ok(Pushes::default());
        }
        let every = self.push_every.get();
        let headers = match &self.push_headers {
            Some(file) => headers(file)?,
            None => HeaderMap::new(),
        };
        let client = client(WITHIN.min(every))?;
        let push = |format: Format, to: Option<&Endpoint>| {
            let to = to?.clone();
            Some(Arc::new(Push {
                format,
                to: match format {
                    Format::Influx => to,
                    Format::Otlp => to.or_path("/v1/metrics"),
                },
                every,
                instance: instance.to_owned(),
                start_ms: clock::unix_ms(),
                client: client.clone(),
                headers: headers.clone(),
                sent: AtomicU64::new(0),
                failed: AtomicU64::new(0),
                failure: Mutex::default(),
            }))
        };
        Ok(Pushes {
            influx: push(Format::Influx, self.push_influx.as_ref()),
            otlp: push(Format::Otlp, self.push_otlp.as_ref()),
        })
    }
}

/// As the command line says it.
fn interval(text: &str) -> Result<units::Duration, String> {
    let interval: units::Duration = text.parse()?;
    match interval.get() >= EVERY_MIN {
        true => Ok(interval),
        false => Err("metrics are sent once a second at most: write 1s or more".to_owned()),
    }
}

fn headers(file: &Path) -> Result<HeaderMap, Failure> {
    let name = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::usage(format!("--push-headers {name}: cannot be read: {error}"))
    })?;
    let mut headers = HeaderMap::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        // The line may hold a secret, so it is not shown.
        let header = line.split_once(':').and_then(|(name, value)| {
            let name: HeaderName = name.trim().parse().ok()?;
            let mut value: HeaderValue = value.trim().parse().ok()?;
            value.set_sensitive(true);
            Some((name, value))
        });
        let Some((header, value)) = header else {
            let what = format!("--push-headers {name}:{}: write Name: VALUE", number + 1);
            return Err(Failure::usage(what));
        };
        let _ = headers.append(header, value);
    }
    Ok(headers)
}

/// All to whom metrics are sent.
#[derive(Default)]
pub struct Pushes {
    influx: Option<Arc<Push>>,
    otlp: Option<Arc<Push>>,
}

impl Pushes {
    /// Each of them.
    pub fn all(&self) -> impl Iterator<Item = &Push> {
        self.influx.iter().chain(&self.otlp).map(|push| &**push)
    }

    /// Sends again and again. `figures` gives those of now, `None` while there are none; it does not wait.
    pub async fn run(&self, figures: &dyn Fn() -> Option<Families>) -> Infallible {
        let each = |push: &Option<Arc<Push>>| {
            let push = push.clone();
            async move {
                match push {
                    Some(push) => push.run(figures).await,
                    None => std::future::pending().await,
                }
            }
        };
        // One that does not answer must not hold the other up.
        let (never, _) = tokio::join!(each(&self.influx), each(&self.otlp));
        never
    }

    /// Sends once more, at the end; waits 2 s at most.
    pub async fn last(&self, figures: &Families) {
        let each = async |push: &Option<Arc<Push>>| {
            if let Some(push) = push {
                push.send(figures).await;
            }
        };
        let both = async { tokio::join!(each(&self.influx), each(&self.otlp)) };
        let _ = tokio::time::timeout(LAST_WITHIN, both).await;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Influx,
    Otlp,
}

/// One to whom metrics are sent.
pub struct Push {
    format: Format,
    to: Endpoint,
    every: Duration,
    instance: String,
    /// Since when counters count, in ms since 1970.
    start_ms: i64,
    client: reqwest::Client,
    headers: HeaderMap,
    sent: AtomicU64,
    failed: AtomicU64,
    failure: Mutex<Option<Lasting>>,
}

/// A failure that is not over.
struct Lasting {
    why: String,
    /// In ms since 1970.
    since: i64,
}

impl Push {
    /// `influx` or `otlp`.
    pub fn name(&self) -> &'static str {
        match self.format {
            Format::Influx => "influx",
            Format::Otlp => "otlp",
        }
    }

    /// How often it was sent, and taken.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// How often it was not taken.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// What is wrong, until something is taken again.
    pub fn condition(&self) -> Option<Condition> {
        let failure = self.failure();
        failure.as_ref().map(|Lasting { why, since }| Condition {
            component: format!("metrics to {}", self.name()),
            kind: "push",
            text: format!("{} does not take metrics: {why}", self.to),
            since: *since,
            holds_up: false,
            of_records: false,
        })
    }

    async fn run(&self, figures: &dyn Fn() -> Option<Families>) -> Infallible {
        let mut ticks = tokio::time::interval(self.every);
        // What was missed is not sent in a burst.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let _ = ticks.tick().await;
            if let Some(figures) = figures() {
                self.send(&figures).await;
            }
        }
    }

    async fn send(&self, figures: &Families) {
        let at_ms = clock::unix_ms();
        let sent = match self.format {
            Format::Influx => {
                let lines = line_protocol::lines(figures, &self.instance, at_ms);
                let kind = "text/plain; charset=utf-8";
                self.post(kind, lines.into_bytes()).await
            }
            Format::Otlp => {
                let mut sent = Ok(());
                for request in otlp::requests(figures, &self.instance, self.start_ms, at_ms) {
                    let body = request.to_string().into_bytes();
                    sent = self.post("application/json", body).await;
                    if sent.is_err() {
                        break;
                    }
                }
                sent
            }
        };
        self.note(sent);
    }

    async fn post(&self, kind: &'static str, body: Vec<u8>) -> Result<(), String> {
        let headers = self.headers.clone();
        self.to.post(&self.client, kind, headers, body).await
    }

    fn note(&self, sent: Result<(), String>) {
        let mut failure = self.failure();
        match (sent, &mut *failure) {
            (Ok(()), known) => {
                let _ = self.sent.fetch_add(1, Ordering::Relaxed);
                if known.take().is_some() {
                    tracing::info!(to = %self.to, "Metrics are taken again");
                }
            }
            (Err(why), known) => {
                let _ = self.failed.fetch_add(1, Ordering::Relaxed);
                match known {
                    Some(known) => known.why = why,
                    None => {
                        tracing::warn!(to = %self.to, error = why, "Metrics are not taken; they are sent again");
                        let since = clock::unix_ms();
                        *known = Some(Lasting { why, since });
                    }
                }
            }
        }
    }

    fn failure(&self) -> MutexGuard<'_, Option<Lasting>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
