//! Where the figures come from: the brokers, once or again and again, or a topology that runs.

use std::path::PathBuf;
use std::time::Duration;

use isobar_operators::lag::Source;
use isobar_operators::letters::DeadLetters;
use isobar_topology::clock;

use super::LagArgs;
use crate::cli::FileArgs;
use crate::command::Context;
use crate::command::api::Api;
use crate::exit::{Exit, Failure};
use crate::lag::{self, LagDocument, Standings};

/// Who is asked.
pub(super) enum Asked {
    /// The brokers, once for each answer.
    Brokers {
        topology: String,
        sources: Vec<Source>,
        /// Where the dead letters of a topology file are, if they can be read back.
        letters: Option<DeadLetters>,
        within: Duration,
    },
    /// The brokers, again and again.
    Standing {
        topology: String,
        standings: Standings,
        letters: Option<DeadLetters>,
        within: Duration,
    },
    /// A topology that runs.
    Running { api: Api, within: Duration },
}

/// Between two looks for the first answer of the brokers.
const LOOK: Duration = Duration::from_millis(50);
/// Questions that a first answer takes at most.
const QUESTIONS: u32 = 20;

impl Asked {
    /// What the command line says.
    pub(super) fn of(args: &LagArgs, context: &mut Context<'_>) -> Result<Self, Failure> {
        let within = args.timeout.get();
        let Some(source) = &args.source else {
            let group = args.group.as_deref().unwrap_or_default();
            let connection = args
                .security
                .connection(&args.brokers, &context.environment)?;
            return Ok(Self::Brokers {
                topology: group.to_owned(),
                sources: vec![Source::of_group(connection, group, &args.topic)],
                letters: None,
                within,
            });
        };
        if source.starts_with("http://") || source.starts_with("https://") {
            let api = source.parse::<Api>().map_err(Failure::usage)?;
            return Ok(Self::Running { api, within });
        }
        let file = FileArgs {
            file: PathBuf::from(source),
            env_file: args.env_file.clone(),
        };
        // The whole file is checked, so that what is wrong with it is said in the same words everywhere.
        let (file, _) = file.plan(&mut context.environment, context.registry)?;
        let spec = file.spec()?;
        let sources = isobar_operators::lag::sources(spec)
            .map_err(|problems| Failure::from(file.refuse(problems)))?;
        if sources.is_empty() {
            let what = format!("{source} has no spout that reads Kafka");
            return Err(Failure::usage(what));
        }
        let letters = DeadLetters::of(spec);
        let letters = letters.map_err(|problems| Failure::from(file.refuse(problems)))?;
        Ok(Self::Brokers {
            topology: spec.name.clone(),
            sources,
            letters,
            within,
        })
    }

    /// The same, asked again and again from now on, so that there are rates.
    pub(super) fn stand(self, interval: Duration, within: Duration) -> Result<Self, Failure> {
        match self {
            Self::Brokers {
                topology,
                sources,
                letters,
                ..
            } => Ok(Self::Standing {
                topology,
                standings: Standings::start(sources, interval, within),
                letters,
                within,
            }),
            other => Ok(other),
        }
    }

    /// What answers without waiting. Fails for a topology that runs, which serves its lag itself.
    pub(super) fn standing(self) -> Result<(String, Standings, Option<DeadLetters>), Failure> {
        match self {
            Self::Standing {
                topology,
                standings,
                letters,
                ..
            } => Ok((topology, standings, letters)),
            Self::Brokers { .. } | Self::Running { .. } => Err(Failure::usage(
                "a topology that runs serves its lag itself: give --serve its file, or --brokers and --group",
            )),
        }
    }

    /// An answer. Waits.
    pub(super) async fn document(&self) -> Result<LagDocument, Failure> {
        match self {
            Self::Brokers {
                topology,
                sources,
                within,
                ..
            } => {
                let spouts = sources.iter().map(|source| lag::ask(source, *within));
                Ok(LagDocument::of(topology, spouts.collect()))
            }
            Self::Standing {
                topology,
                standings,
                within,
                ..
            } => {
                let deadline = clock::now() + *within * QUESTIONS;
                loop {
                    match standings.read() {
                        Some(spouts) => return Ok(LagDocument::of(topology, spouts)),
                        None if clock::now() < deadline => tokio::time::sleep(LOOK).await,
                        None => {
                            return Err(undetermined("the brokers have not answered".to_owned()));
                        }
                    }
                }
            }
            Self::Running { api, within } => running(api, *within).await,
        }
    }
}

async fn running(api: &Api, within: Duration) -> Result<LagDocument, Failure> {
    let what = "its lag";
    let document: LagDocument = api.get("/lag", what, within).await?;
    match document.version {
        LagDocument::VERSION => Ok(document.completed()),
        other => {
            let why = format!(
                "its answer has version {other}, and this program reads {}",
                LagDocument::VERSION
            );
            Err(api.undetermined(what, &why))
        }
    }
}

fn undetermined(text: String) -> Failure {
    Failure::new(Exit::Undetermined, anyhow::anyhow!("{text}"))
}
