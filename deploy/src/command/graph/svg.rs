//! A topology as a picture of its own, for pages, books and tickets: nothing else has to be loaded, and it
//! is as light or dark as where it is shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use isobar_topology::PlanReport;

use super::{is_end, parts};
use crate::picture::{Form, Layout, Line};

/// Of a card; its width follows from the longest name.
const HEIGHT: f64 = 52.0;
/// Of the cards, so that short names make no slips and long ones no banners.
const WIDTHS: [f64; 2] = [96.0, 320.0];
/// Of a character of an id, which is bold, and of a type, in most fonts.
const CHARACTER: [f64; 2] = [9.0, 7.0];
/// Beside a name.
const AROUND: f64 = 32.0;
/// Between two layers, besides the longest label.
const ALONG: f64 = 68.0;
/// Below the picture.
const LEGEND: f64 = 30.0;

const STYLE: &str = "\
.isobar{--ground:#fff;--card:#f5f7f8;--ink:#17222b;--quiet:#566572;--rule:#c5ced5;--spout:#0b6b74;--bolt:#2b62b5;--end:#1a7f45;--letters:#97600a;font:12px system-ui,sans-serif}
@media (prefers-color-scheme:dark){.isobar{--ground:#0f1519;--card:#182127;--ink:#e6edf1;--quiet:#9fb0bc;--rule:#3b4a54;--spout:#4cc3cd;--bolt:#82aef0;--end:#58c98a;--letters:#e6b25a}}
.isobar .ground{fill:var(--ground)}
.isobar .card{fill:var(--card);stroke:var(--rule)}
.isobar .spout{fill:var(--spout)}.isobar .bolt{fill:var(--bolt)}.isobar .end{fill:var(--end)}.isobar .letters{fill:var(--letters)}
.isobar .id{fill:var(--ink);font-weight:650;font-size:14px}
.isobar .quiet{fill:var(--quiet)}
.isobar .line{fill:none;stroke:var(--quiet);stroke-width:1.5}
.isobar .rejected{stroke-dasharray:5 4;stroke:var(--letters)}
.isobar .label{paint-order:stroke;stroke:var(--ground);stroke-width:4px}
";

/// The picture: <https://www.w3.org/TR/SVG2/>.
pub(super) fn svg(report: &PlanReport, spouts: usize) -> String {
    let [bold, plain] = CHARACTER;
    let names = report.nodes.iter().flat_map(|node| {
        let length = |name: &str| name.chars().count() as f64;
        [bold * length(&node.id), plain * length(&node.kind)]
    });
    let [least, most] = WIDTHS;
    let width = (names.fold(0.0, f64::max) + AROUND).clamp(least, most);
    // Streams from one node to another share a line, and a label.
    let mut labels: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let edges = report.edges.iter();
    for edge in edges.filter(|edge| !edge.from.ends_with(".rejected")) {
        let (from, words) = parts(edge);
        let length = labels.entry((from, &edge.to)).or_default();
        *length += words.chars().count() + 2;
    }
    let longest = labels.into_values().max();
    let room = plain * longest.unwrap_or_default().saturating_sub(2) as f64;
    let form = Form {
        down: false,
        width,
        height: HEIGHT,
        along: ALONG + room,
        across: 26.0,
        room,
        letters: ((width - AROUND) / bold) as usize,
    };
    let ids = report.nodes.iter().map(|node| node.id.as_str());
    let layout = Layout::new(ids, &report.edges, form);
    let has_rejected = layout.lines.iter().any(|line| line.rejected);
    let [left, top, width, mut height] = layout.view;
    if has_rejected {
        height += LEGEND;
    }
    let name = escaped(&report.topology);
    let arrow = |id: &str, class: &str| {
        format!(
            "<marker id=\"isobar-{id}\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" \
             markerHeight=\"8\" orient=\"auto\" markerUnits=\"userSpaceOnUse\"><path class=\"{class}\" \
             d=\"M0 .5 8 4 0 7.5z\"/></marker>"
        )
    };
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"isobar\" role=\"img\" width=\"{width}\" \
         height=\"{height}\" viewBox=\"{left} {top} {width} {height}\">\n<title>Topology {name}</title>\n\
         <style>\n{STYLE}</style>\n<defs>{}{}</defs>\n\
         <rect class=\"ground\" x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\"/>\n",
        arrow("arrow", "quiet"),
        arrow("letter", "letters"),
    );
    for line in &layout.lines {
        text.push_str(&drawn(&line.d, line.rejected, line.arrives));
    }
    // Above all lines. What is rejected needs no word: the dashes say it.
    for line in layout.lines.iter().filter(|line| !line.rejected) {
        let words = |line: &Line| {
            let words = line.edges.iter().map(|edge| parts(&report.edges[*edge]).1);
            let words: Vec<String> = words.filter(|word| !word.is_empty()).collect();
            escaped(&words.join(", "))
        };
        if let Some(label) = line.label.filter(|_| !words(line).is_empty()) {
            let (x, y, anchor) = (label.x, label.y, label.anchor.word());
            let _ = writeln!(
                text,
                "<text class=\"label quiet\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>",
                words(line)
            );
        }
    }
    for (number, (node, placed)) in report.nodes.iter().zip(&layout.nodes).enumerate() {
        let mut inputs = report.edges.iter().filter(|edge| edge.to == node.id);
        let takes_rejects = inputs.all(|edge| edge.from.ends_with(".rejected"));
        let class = match (number < spouts, is_end(report, &node.id)) {
            (true, _) => "spout",
            (false, true) if takes_rejects => "letters",
            (false, true) => "end",
            (false, false) => "bolt",
        };
        let (x, y) = (placed.x - form.width / 2.0, placed.y - HEIGHT / 2.0);
        let (id, kind) = (&node.id, &node.kind);
        let _ = writeln!(
            text,
            "<g transform=\"translate({x} {y})\"><title>{}: {}</title>\
             <rect class=\"card\" width=\"{}\" height=\"{HEIGHT}\" rx=\"8\"/>\
             <rect class=\"{class}\" x=\"6\" y=\"8\" width=\"5\" height=\"{}\" rx=\"2.5\"/>\
             <text class=\"id\" x=\"20\" y=\"23\">{}</text>\
             <text class=\"quiet\" x=\"20\" y=\"40\">{}</text></g>",
            escaped(id),
            escaped(kind),
            form.width,
            HEIGHT - 16.0,
            escaped(&short(id, form.letters)),
            escaped(&short(kind, ((form.width - AROUND) / plain) as usize)),
        );
    }
    if has_rejected {
        let y = top + height - 16.0;
        let (start, end) = (left + 10.0, left + 42.0);
        text.push_str(&drawn(&format!("M{start} {y}H{end}"), true, true));
        let _ = writeln!(
            text,
            "<text class=\"quiet\" x=\"{}\" y=\"{}\">rejected records</text>",
            end + 8.0,
            y + 4.0
        );
    }
    text.push_str("</svg>\n");
    text
}

/// A line, with the arrow of its kind where it arrives.
fn drawn(d: &str, rejected: bool, arrives: bool) -> String {
    let (class, arrow) = match rejected {
        true => ("line rejected", "letter"),
        false => ("line", "arrow"),
    };
    let end = match arrives {
        true => format!(" marker-end=\"url(#isobar-{arrow})\""),
        false => String::new(),
    };
    format!("<path class=\"{class}\" d=\"{d}\"{end}/>\n")
}

/// As much of a name as there is room for.
fn short(name: &str, letters: usize) -> String {
    match name.chars().count() > letters {
        true => name.chars().take(letters - 1).chain(['…']).collect(),
        false => name.to_owned(),
    }
}

/// A text as XML has it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use isobar_topology::{EdgeReport, NodeReport};

    use super::*;

    fn report(nodes: &[&str], edges: &[(&str, &str)]) -> PlanReport {
        let nodes = nodes.iter().map(|id| NodeReport {
            id: (*id).to_owned(),
            kind: "some_type".to_owned(),
            streams: Vec::new(),
            facts: Vec::new(),
        });
        let edges = edges.iter().map(|(from, to)| EdgeReport {
            from: (*from).to_owned(),
            to: (*to).to_owned(),
            grouping: "local",
            fused: true,
            ordered: true,
            throttle: None,
            on_full: None,
        });
        PlanReport {
            topology: "a<b".to_owned(),
            lanes: 1,
            nodes: nodes.collect(),
            edges: edges.collect(),
            policies: Vec::new(),
            lossy: Vec::new(),
            notes: Vec::new(),
            memory: isobar_topology::MemoryReport::default(),
        }
    }

    #[test]
    fn streams_between_the_same_nodes_share_a_line_and_names_are_text() {
        let long = "a_name_that_is_longer_than_any_card_may_ever_be";
        let drawn = svg(
            &report(
                &["in", "route", long, "letters"],
                &[
                    ("in", "route"),
                    ("route.slow", long),
                    ("route.errors", long),
                    ("route.rejected", "letters"),
                ],
            ),
            1,
        );
        assert!(drawn.contains("<title>Topology a&lt;b</title>"), "{drawn}");
        assert!(drawn.contains(">slow, errors</text>"), "{drawn}");
        assert_eq!(drawn.matches("<path class=\"line\"").count(), 2, "{drawn}");
        // And the line of the legend.
        let rejected = drawn.matches("<path class=\"line rejected\"").count();
        assert_eq!(rejected, 2, "{drawn}");
        assert!(
            drawn.contains(">a_name_that_is_longer_than_any_…</text>"),
            "{drawn}"
        );
        let kinds = ["spout", "bolt", "end", "letters"];
        for kind in kinds {
            let stripe = format!("<rect class=\"{kind}\"");
            assert_eq!(drawn.matches(&stripe).count(), 1, "{kind}: {drawn}");
        }
    }

    #[test]
    fn without_rejects_nothing_hangs_in_the_air() {
        let mut drawn = report(
            &["in", "parse", "again", "end", "letters"],
            &[
                ("in", "parse"),
                ("parse", "end"),
                ("parse.rejected", "again"),
                ("again", "end"),
                ("again.rejected", "letters"),
            ],
        );
        super::super::leave_out_rejects(&mut drawn, 1);
        let ids: Vec<&str> = drawn.nodes.iter().map(|node| node.id.as_str()).collect();
        assert_eq!(ids, ["in", "parse", "end"]);
        let edges = drawn.edges.iter().map(|edge| edge.from.as_str());
        assert_eq!(edges.collect::<Vec<_>>(), ["in", "parse"]);
    }
}
