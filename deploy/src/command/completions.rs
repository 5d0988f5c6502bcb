//! `isobar completions` and `isobar man`: what a shell completes, and the manual pages, made from the
//! command line's own definition.

mod manual;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Context;
use crate::cli::Cli;
use crate::exit::{Exit, Outcome};

/// What `completions` takes.
#[derive(Args, Debug)]
#[command(after_help = COMPLETIONS_EXAMPLE)]
pub struct CompletionsArgs {
    /// The shell: bash, elvish, fish, powershell or zsh.
    #[arg(value_enum, hide_possible_values = true)]
    shell: Shell,
}

const COMPLETIONS_EXAMPLE: &str = "\
Examples:
  isobar completions bash > ~/.local/share/bash-completion/completions/isobar
  isobar completions zsh > ~/.zfunc/_isobar
  isobar completions fish > ~/.config/fish/completions/isobar.fish";

/// What `man` takes.
#[derive(Args, Debug)]
#[command(after_help = MAN_EXAMPLE)]
pub struct ManArgs {
    /// Writes a page for each command into this directory, which is made if it is not there. Without it
    /// the page of the program goes to standard output.
    #[arg(long, value_name = "DIRECTORY")]
    to: Option<PathBuf>,
}

const MAN_EXAMPLE: &str = "\
Examples:
  isobar man | man -l -
  isobar man --to ~/.local/share/man/man1 && man isobar-run";

pub(super) fn completions(args: &CompletionsArgs, context: Context<'_>) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "isobar", &mut script);
    let _ = context.output.write(&script)?;
    Ok(Exit::Done)
}

pub(super) fn man(args: &ManArgs, context: Context<'_>) -> Outcome {
    match &args.to {
        Some(directory) => {
            let pages = std::fs::create_dir_all(directory)
                .and_then(|()| manual::write_pages(Cli::command(), directory));
            pages.with_context(|| format!("cannot write pages to {}", directory.display()))?;
        }
        None => {
            let mut page = Vec::new();
            let made = manual::page(Cli::command(), &mut page);
            made.context("cannot make the page")?;
            let _ = context.output.write(&page)?;
        }
    }
    Ok(Exit::Done)
}
