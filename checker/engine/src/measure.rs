//! What an `aggregate` measures, and over whom. Only what it is; nothing here runs.
use alloc::{string::String, vec::Vec};
use core::time::Duration;

use crate::{expr::Expr, pack::RoleIdx};

/// An assertion over what many events come to.
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// What is measured.
    pub terms: Vec<Term>,
    /// Over what.
    pub span: AggregateSpan,
    /// The assertion: its slots are the terms in their order, then the parts of the key (with `each` the member's name
    /// last), then with `each` what the members come to together: for each term its [`Statistic`]s.
    pub assert: Expr,
    /// A window is judged at multiples of this since the Unix epoch only; `None`: whenever something changes.
    pub every: Option<Duration>,
    /// The terms are measured for each member of a group, and the assertion is judged for each.
    pub each: Option<Each>,
}

impl Aggregate {
    /// How far a term's own window reaches; `None`: since the last closing event, or the beginning of the tumbling window.
    #[must_use]
    pub fn window(&self, term: &Term) -> Option<Duration> {
        match self.span {
            AggregateSpan::Window(window) => Some(term.window.unwrap_or(window)),
            AggregateSpan::Close(_) | AggregateSpan::Tumbling(_) => term.window,
        }
    }

    /// The names of what it measures, in the order of a finding's values.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        let terms = self.terms.iter().map(|term| term.name.clone());
        let of_each = |term: &Term| -> Vec<String> {
            let name = &term.name;
            Statistic::ALL.iter().map(|statistic| alloc::format!("{name}.{}", statistic.as_str())).collect()
        };
        let grouped = self.each.as_ref().map_or(&[][..], |_| &self.terms);
        terms.chain(grouped.iter().flat_map(of_each))
    }

    /// How far back any term looks.
    #[must_use]
    pub fn longest(&self) -> Duration {
        let reach = |term: &Term| self.window(term).unwrap_or_default() + term.offset;
        let whole = match self.span {
            AggregateSpan::Tumbling(length) => length,
            AggregateSpan::Window(_) | AggregateSpan::Close(_) => Duration::ZERO,
        };
        self.terms.iter().map(reach).fold(whole, Duration::max)
    }
}

/// Over what an [`Aggregate`] measures.
#[derive(Clone, Copy, Debug)]
pub enum AggregateSpan {
    /// The half-open window (t - d, t]; a level.
    Window(Duration),
    /// Since the last of these; judged once, when the next arrives.
    Close(RoleIdx),
    /// The windows [k·d, (k+1)·d) since the Unix epoch, which do not overlap; each in which something happens is judged
    /// once, when it is over.
    Tumbling(Duration),
}

/// One measured figure.
#[derive(Clone, Debug)]
pub struct Term {
    /// What the assertion calls it.
    pub name: String,
    /// The events it measures.
    pub of: RoleIdx,
    /// What it makes of their values.
    pub measure: Measure,
    /// The value, over `of`'s slots; `None`: there is none, events are counted.
    pub value: Option<Expr>,
    /// A window of its own.
    pub window: Option<Duration>,
    /// Its window ends so long before the judged time.
    pub offset: Duration,
}

impl Term {
    /// Whether it counts events.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.measure == Measure::Count
    }
}

/// What is made of the values of many events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// How many events there are (whose value is not `false`).
    Count,
    /// The sum; exact for integers.
    Sum,
    /// The mean, a double.
    Avg,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The value of the first event.
    First,
    /// The value of the last event.
    Last,
    /// How many different values there are.
    Distinct,
    /// By how much a counter rose; one that falls has begun anew at 0.
    Increase,
    /// The slope of the least-squares line, per second.
    Slope,
    /// How long the value stood at true.
    Duration,
    /// The nearest-rank percentile, in hundredths of a per cent.
    Percentile(u16),
}

/// Over whom an [`Aggregate`] measures: the members of a group, one figure for each of them, zero-filled.
#[derive(Clone, Debug)]
pub struct Each {
    /// What yields the list of members: its slots are those of the assertion, of which only the key's parts are bound.
    pub members: Expr,
    /// What the key calls a member.
    pub name: String,
    /// Whose event it is, by the term: over `of`'s slots.
    pub whose: Vec<Expr>,
}

/// What the figures of all members come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// How many members there are, those without a figure among them.
    Count,
    /// The sum; exact for integers.
    Sum,
    /// The sum of the squares; exact for integers.
    Squares,
    /// The mean, a double.
    Avg,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// The one in the middle; of two in the middle their mean, a double.
    Median,
    /// The mean of the squares less the square of the mean, a double: of the whole group, not of a sample.
    Variance,
    /// The square root of the variance, a double.
    Stddev,
}

impl Statistic {
    /// All of them, in the order of their slots.
    pub const ALL: [Statistic; 9] = [
        Statistic::Count,
        Statistic::Sum,
        Statistic::Squares,
        Statistic::Avg,
        Statistic::Min,
        Statistic::Max,
        Statistic::Median,
        Statistic::Variance,
        Statistic::Stddev,
    ];

    /// What follows the term's name and a dot.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Statistic::Count => "n",
            Statistic::Sum => "sum",
            Statistic::Squares => "squares",
            Statistic::Avg => "avg",
            Statistic::Min => "min",
            Statistic::Max => "max",
            Statistic::Median => "median",
            Statistic::Variance => "variance",
            Statistic::Stddev => "stddev",
        }
    }
}
