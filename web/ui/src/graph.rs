//! The picture of a pack's topology: components in layers from senders to receivers, the same for the same topology;
//! what is open, silent or stopped by a breaker is drawn at its component and channel. All text is escaped.
use std::fmt::Write;

use crate::text::{Markup, escape, shorten};

const BOX_WIDTH: f64 = 206.0;
const BOX_HEIGHT: f64 = 50.0;
const COLUMN: f64 = 262.0;
const ROW: f64 = 112.0;
const MARGIN: f64 = 92.0;

/// One component.
#[derive(Clone, Debug, Default)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) about: String,
    /// Below the name: `3 nodes`.
    pub(crate) said: String,
    /// `hurt`, `silent`, `unseen` or `fine`.
    pub(crate) class: &'static str,
    pub(crate) open: i64,
    /// The state of the breaker that guards the whole of it; empty: none.
    pub(crate) breaker: String,
}

/// One channel, by the places of its ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edge {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// The state of the breaker that guards it; empty: none.
    pub(crate) breaker: String,
}

/// Draws it; empty without components.
pub(crate) fn draw(title: &str, nodes: &[Node], edges: &[Edge]) -> Markup {
    if nodes.is_empty() {
        return Markup::default();
    }
    let layers = order(nodes.len(), edges);
    let widest = layers.iter().map(Vec::len).max().unwrap_or(1);
    let width = MARGIN * 2.0 + COLUMN * widest as f64;
    let height = ROW * layers.len() as f64 - (ROW - BOX_HEIGHT) + 44.0;
    let mut at = vec![(0.0, 0.0); nodes.len()];
    for (depth, layer) in layers.iter().enumerate() {
        let left = (width - COLUMN * layer.len() as f64) / 2.0;
        for (number, node) in layer.iter().enumerate() {
            at[*node] = (left + COLUMN * (number as f64 + 0.5), 22.0 + BOX_HEIGHT / 2.0 + ROW * depth as f64);
        }
    }
    let mut svg = format!(
        "<svg class=\"graph\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" role=\"img\" aria-label=\"Components of {}; the table below says the same\"><defs>",
        escape(title)
    );
    for class in ["plain", "stopped"] {
        let _ = write!(
            svg,
            "<marker id=\"arrow-{class}\" class=\"{class}\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker>"
        );
    }
    svg.push_str("</defs>");
    let mut labels = String::new();
    for (number, edge) in edges.iter().enumerate() {
        draw_edge(&mut svg, &mut labels, edge, &ports(number, edges, &at), &at);
    }
    for (node, place) in nodes.iter().zip(&at) {
        draw_node(&mut svg, node, *place);
    }
    svg.push_str(&labels);
    svg.push_str("</svg>");
    Markup::new(svg)
}

/// Layers by longest way from a component that nobody sends to, and inside a layer the order with few crossings: by the
/// mean place of the neighbours above, then below.
fn order(count: usize, edges: &[Edge]) -> Vec<Vec<usize>> {
    let mut layer = vec![0_usize; count];
    for _ in 0..count {
        for edge in edges {
            // Ways back (a reply channel) do not push their target further down.
            if edge.to > edge.from && layer[edge.to] <= layer[edge.from] {
                layer[edge.to] = layer[edge.from] + 1;
            }
        }
    }
    let depth = layer.iter().max().map_or(0, |last| last + 1);
    let mut layers: Vec<Vec<usize>> =
        (0..depth).map(|depth| (0..count).filter(|node| layer[*node] == depth).collect()).collect();
    for sweep in 0..4 {
        let down = sweep % 2 == 0;
        let rows: Vec<usize> = if down { (1..depth).collect() } else { (0..depth.saturating_sub(1)).rev().collect() };
        for row in rows {
            let other = &layers[if down { row - 1 } else { row + 1 }];
            let mean = |node: usize| {
                let places: Vec<usize> = edges
                    .iter()
                    .filter_map(|edge| match (edge.from == node, edge.to == node) {
                        (true, _) => other.iter().position(|place| *place == edge.to),
                        (_, true) => other.iter().position(|place| *place == edge.from),
                        _ => None,
                    })
                    .collect();
                let own = layers[row].iter().position(|place| *place == node).unwrap_or(0);
                if places.is_empty() { own as f64 } else { places.iter().sum::<usize>() as f64 / places.len() as f64 }
            };
            let mut sorted: Vec<(f64, usize)> = layers[row].iter().map(|node| (mean(*node), *node)).collect();
            sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
            layers[row] = sorted.into_iter().map(|(_, node)| node).collect();
        }
    }
    layers
}

/// Where on its boxes an edge starts and ends: those of one side stand apart, in the order of their other ends.
fn ports(number: usize, edges: &[Edge], at: &[(f64, f64)]) -> (f64, f64) {
    let edge = &edges[number];
    let down = |edge: &Edge| at[edge.to].1 > at[edge.from].1 + 1.0;
    let spread = |mut ends: Vec<(f64, usize)>, centre: f64| {
        ends.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let place = ends.iter().position(|(_, end)| *end == number).unwrap_or(0);
        let step = (BOX_WIDTH - 60.0) / ends.len() as f64;
        centre + step * (place as f64 + 0.5) - step * ends.len() as f64 / 2.0
    };
    let leaving = edges.iter().enumerate().filter(|(_, other)| other.from == edge.from && down(other));
    let coming = edges.iter().enumerate().filter(|(_, other)| other.to == edge.to && down(other));
    (
        spread(leaving.map(|(number, other)| (at[other.to].0, number)).collect(), at[edge.from].0),
        spread(coming.map(|(number, other)| (at[other.from].0, number)).collect(), at[edge.to].0),
    )
}

fn draw_edge(svg: &mut String, labels: &mut String, edge: &Edge, ports: &(f64, f64), at: &[(f64, f64)]) {
    let ((x1, y1), (x2, y2)) = (at[edge.from], at[edge.to]);
    let stopped = matches!(edge.breaker.as_str(), "open" | "half_open");
    let class = if stopped { "stopped" } else { "plain" };
    let half = (BOX_WIDTH / 2.0, BOX_HEIGHT / 2.0);
    let (path, middle) = if y2 > y1 + 1.0 {
        let (from, to) = ((ports.0, y1 + half.1), (ports.1, y2 - half.1));
        let bend = ((to.1 - from.1) / 2.0).min(60.0);
        // Past other boxes of the same column the line gives way to the side.
        let side = if y2 - y1 > ROW * 1.5 && (x1 - x2).abs() < 1.0 { BOX_WIDTH * 0.85 } else { 0.0 };
        (
            format!(
                "M{:.1} {:.1} C{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}",
                from.0,
                from.1,
                from.0 + side,
                from.1 + bend,
                to.0 + side,
                to.1 - bend,
                to.0,
                to.1
            ),
            (f64::midpoint(from.0, to.0) + side * 0.75, f64::midpoint(from.1, to.1)),
        )
    } else if (y2 - y1).abs() <= 1.0 {
        let way = if x2 > x1 { 1.0 } else { -1.0 };
        let (from, to) = (x1 + way * half.0, x2 - way * half.0);
        let lift = if (x2 - x1).abs() > COLUMN * 1.2 { 46.0 } else { 12.0 };
        (
            format!("M{from:.1} {y1:.1} Q{:.1} {:.1} {to:.1} {y2:.1}", f64::midpoint(from, to), y1 - lift),
            (f64::midpoint(from, to), y1 - lift / 2.0),
        )
    } else {
        // A way back up leaves at the top and arrives from below, beside the ways down; a long one gives way to the side.
        let (from, to) = ((x1 + half.0 - 14.0, y1 - half.1), (x2 + half.0 - 14.0, y2 + half.1));
        let bend = ((from.1 - to.1) / 2.0).min(60.0);
        let side = if y1 - y2 > ROW * 1.5 { BOX_WIDTH * 0.5 } else { 0.0 };
        (
            format!(
                "M{:.1} {:.1} C{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}",
                from.0,
                from.1,
                from.0 + side,
                from.1 - bend,
                to.0 + side,
                to.1 + bend,
                to.0,
                to.1
            ),
            (f64::midpoint(from.0, to.0) + side * 0.75, f64::midpoint(from.1, to.1)),
        )
    };
    let _ = write!(svg, "<path class=\"edge {class}\" d=\"{path}\" marker-end=\"url(#arrow-{class})\"/>");
    if !edge.breaker.is_empty() {
        breaker(labels, &edge.breaker, middle);
    }
}

/// A breaker's state at a channel or component: shape, word, colour.
fn breaker(svg: &mut String, state: &str, (x, y): (f64, f64)) {
    let (glyph, word) = match state {
        "open" => ("●", "open"),
        "half_open" => ("◑", "half-open"),
        _ => ("○", "closed"),
    };
    let width = 30.0 + 6.6 * word.len() as f64;
    let _ = write!(
        svg,
        "<g class=\"breaker {}\"><title>Its breaker is {word}</title><rect x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"20\" rx=\"10\"/>\
         <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{glyph} {word}</text></g>",
        escape(state),
        x - width / 2.0,
        y - 10.0,
        y + 4.0
    );
}

fn draw_node(svg: &mut String, node: &Node, (x, y): (f64, f64)) {
    let (left, top) = (x - BOX_WIDTH / 2.0, y - BOX_HEIGHT / 2.0);
    let _ = write!(
        svg,
        "<g class=\"box {}\"><title>{}: {}. {}</title><rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"8\"/>\
         <text class=\"component\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text><text class=\"said\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
        node.class,
        escape(&node.name),
        escape(&node.said),
        escape(&node.about),
        y - 3.0,
        escape(&shorten(&node.name, 15, 9)),
        y + 15.0,
        escape(&node.said)
    );
    if node.open > 0 {
        let text = if node.open > 999 { "999+".to_owned() } else { node.open.to_string() };
        let width = 14.0 + 7.0 * text.len() as f64;
        let right = left + BOX_WIDTH - 2.0;
        let _ = write!(
            svg,
            "<rect class=\"badge\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width}\" height=\"20\" rx=\"10\"/>\
             <text class=\"badge\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
            right - width / 2.0,
            top - 10.0,
            right,
            top + 4.0
        );
    }
    if !node.breaker.is_empty() {
        breaker(svg, &node.breaker, (left + 40.0, top));
    }
    svg.push_str("</g>");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: usize, to: usize) -> Edge {
        Edge { from, to, breaker: String::new() }
    }

    #[test]
    fn layers_follow_the_flow_and_ways_back_do_not_bend_it() {
        let edges = [edge(0, 1), edge(1, 2), edge(2, 0), edge(0, 2), edge(0, 3)];
        let layers = order(4, &edges);
        assert_eq!(layers[0], [0]);
        assert_eq!(layers[2], [2]);
        assert!(layers[1].contains(&1) && layers[1].contains(&3));
    }

    #[test]
    fn the_same_topology_is_drawn_the_same() {
        let nodes: Vec<Node> =
            ["a", "b", "c", "d"].map(|name| Node { name: name.into(), class: "fine", ..Node::default() }).into();
        let edges = [edge(0, 2), edge(1, 3), edge(0, 3), edge(3, 0), edge(1, 0)];
        assert_eq!(draw("p", &nodes, &edges), draw("p", &nodes, &edges));
    }

    #[test]
    fn crossings_are_taken_out_where_an_order_without_them_exists() {
        // 0 -> 3 and 1 -> 2 cross when both layers keep the order they were written in.
        let layers = order(4, &[edge(0, 3), edge(1, 2)]);
        let place =
            |node: usize| layers.iter().find_map(|layer| layer.iter().position(|found| *found == node)).unwrap();
        assert_eq!(place(0) < place(1), place(3) < place(2));
    }

    #[test]
    fn a_stopped_channel_shows_its_breaker() {
        let nodes = [Node { name: "<a>".into(), ..Node::default() }, Node { name: "b".into(), ..Node::default() }];
        let svg = draw("p", &nodes, &[Edge { from: 0, to: 1, breaker: "open".into() }]);
        assert!(svg.as_str().contains("edge stopped") && svg.as_str().contains("● open"), "{svg}");
        assert!(!svg.as_str().contains("<a>"));
    }
}
