//! `isobar graph`: a topology as a picture, or in a language that a page or a program draws.

mod svg;

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use isobar_topology::{EdgeReport, PlanReport};

use super::Context;
use crate::cli::FileArgs;
use crate::exit::{Exit, Outcome};

/// What `graph` takes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct GraphArgs {
    #[command(flatten)]
    file: FileArgs,

    /// The language: mermaid, which pages of Markdown draw, dot, which Graphviz does, or svg, a picture
    /// that needs nothing else, for light and dark pages.
    #[arg(
        long,
        short = 'o',
        value_enum,
        value_name = "LANGUAGE",
        default_value_t,
        hide_possible_values = true
    )]
    output: Language,

    /// Leaves out the ways of rejected records.
    #[arg(long)]
    without_rejects: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Language {
    #[default]
    Mermaid,
    Dot,
    Svg,
}

const EXAMPLE: &str = "\
Examples:
  isobar graph logs.yaml                 for a block ```mermaid of Markdown
  isobar graph logs.yaml -o svg > logs.svg
  isobar graph logs.yaml -o dot | dot -Tpdf > logs.pdf
  isobar graph logs.yaml --without-rejects";

pub(super) fn execute(args: &GraphArgs, mut context: Context<'_>) -> Outcome {
    let (_, plan) = args.file.plan(&mut context.environment, context.registry)?;
    let spouts = plan.graph.spouts.len();
    let mut report = plan.report;
    if args.without_rejects {
        leave_out_rejects(&mut report, spouts);
    }
    context.output.text(&match args.output {
        Language::Mermaid => mermaid(&report, spouts),
        Language::Dot => dot(&report, spouts),
        Language::Svg => svg::svg(&report, spouts),
    })?;
    Ok(Exit::Done)
}

/// Leaves out what only rejected records come to, and the ways to it and from it.
fn leave_out_rejects(report: &mut PlanReport, spouts: usize) {
    report
        .edges
        .retain(|edge| !edge.from.ends_with(".rejected"));
    let mut kept: Vec<String> = Vec::new();
    // In the order of processing: what leads to a node comes before it.
    for (number, node) in report.nodes.iter().enumerate() {
        let mut inputs = report.edges.iter().filter(|edge| edge.to == node.id);
        let is_reached = inputs.any(|edge| kept.iter().any(|id| id == parts(edge).0));
        if number < spouts || is_reached {
            kept.push(node.id.clone());
        }
    }
    report.nodes.retain(|node| kept.contains(&node.id));
    let is_kept = |edge: &EdgeReport| kept.iter().any(|id| id == parts(edge).0);
    report.edges.retain(is_kept);
}

/// The component of an edge's start, and what is written beside the edge: the stream, unless it is the
/// only ordinary one, the grouping, unless it is the ordinary one, and how records are dropped there.
fn parts(edge: &EdgeReport) -> (&str, String) {
    let (from, stream) = edge.from.split_once('.').unwrap_or((&edge.from, ""));
    let grouping = match edge.grouping {
        "local" => "",
        other => other,
    };
    let dropped = edge.on_full.as_deref().unwrap_or_default();
    let words = [stream, grouping, dropped];
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    (from, words.join(", "))
}

/// The language of <https://mermaid.js.org/syntax/flowchart.html>. Ids get a letter in front: some, such
/// as `end`, are words of the language.
fn mermaid(report: &PlanReport, spouts: usize) -> String {
    let mut text = "flowchart LR\n".to_owned();
    for (number, node) in report.nodes.iter().enumerate() {
        let label = format!("\"{}<br/><i>{}</i>\"", node.id, node.kind);
        let (open, close) = match number < spouts {
            true => ("([", "])"),
            false if is_end(report, &node.id) => ("[(", ")]"),
            false => ("[", "]"),
        };
        let _ = writeln!(text, "  n_{}{open}{label}{close}", node.id);
    }
    for edge in &report.edges {
        let (from, words) = parts(edge);
        let arrow = match edge.from.ends_with(".rejected") {
            true => "-.->",
            false => "-->",
        };
        let words = match words.as_str() {
            "" => String::new(),
            words => format!("|{words}|"),
        };
        let _ = writeln!(text, "  n_{from} {arrow}{words} n_{}", edge.to);
    }
    text
}

/// The language of <https://graphviz.org/doc/info/lang.html>.
fn dot(report: &PlanReport, spouts: usize) -> String {
    let mut text = format!("digraph \"{}\" {{\n  rankdir=LR\n", report.topology);
    text.push_str("  node [shape=box, style=rounded, fontname=\"sans-serif\"]\n");
    for (number, node) in report.nodes.iter().enumerate() {
        let shape = match number < spouts {
            true => ", shape=ellipse",
            false if is_end(report, &node.id) => ", shape=cylinder",
            false => "",
        };
        let (id, kind) = (&node.id, &node.kind);
        let _ = writeln!(text, "  \"{id}\" [label=\"{id}\\n{kind}\"{shape}]");
    }
    for edge in &report.edges {
        let (from, words) = parts(edge);
        let style = match edge.from.ends_with(".rejected") {
            true => ", style=dashed",
            false => "",
        };
        let to = &edge.to;
        let _ = writeln!(text, "  \"{from}\" -> \"{to}\" [label=\"{words}\"{style}]");
    }
    text.push_str("}\n");
    text
}

/// Whether nothing but rejected records leaves a node.
fn is_end(report: &PlanReport, id: &str) -> bool {
    let mut edges = report.edges.iter();
    !edges.any(|edge| parts(edge).0 == id && !edge.from.ends_with(".rejected"))
}
