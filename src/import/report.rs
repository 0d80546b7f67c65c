//! What an import found there, what is here, and what was left out or renamed.

use std::fmt;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::store::imports::Counts;

/// At most this many notes of one sort are shown; all of them count.
const SHOWN: usize = 50;

/// How many of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Line {
    /// Found in the source.
    pub there: i64,
    /// In this server's own tables.
    pub here: i64,
    /// Brought by this run of the import.
    pub new: i64,
}

/// Everything that an import has to say.
#[derive(Debug, Default)]
pub struct Report {
    pub experiments: Line,
    pub experiment_tags: Line,
    pub runs: Line,
    pub points: Line,
    pub params: Line,
    pub tags: Line,
    pub inputs: Line,
    pub logged_models: Line,
    pub logged_model_values: Line,
    pub logged_model_metrics: Line,
    pub logged_model_links: Line,
    pub models: Line,
    pub model_tags: Line,
    pub versions: Line,
    pub version_tags: Line,
    pub stages: Line,
    pub aliases: Line,
    /// None when they were not asked for.
    pub artifacts: Option<Line>,
    renamed: Vec<String>,
    left_out: Vec<String>,
    remarks: Vec<String>,
}

impl Report {
    /// Something has another name here.
    pub(super) fn renamed(&mut self, kind: &str, there: &str, here: &str) {
        self.renamed.push(format!("{kind} {there:?} is here {here:?}"));
    }

    /// Something was not brought, and why.
    pub(super) fn left_out(&mut self, what: impl Into<String>) {
        self.left_out.push(what.into());
    }

    /// Something to know that is no loss.
    pub(super) fn remark(&mut self, what: impl Into<String>) {
        self.remarks.push(what.into());
    }

    /// Kinds of objects that no import brings.
    pub(super) fn left_out_kinds(&mut self, kinds: Vec<(&'static str, i64)>) {
        for (kind, count) in kinds.into_iter().filter(|(_, count)| *count > 0) {
            self.left_out.push(format!("{count} {kind}: not imported"));
        }
    }

    /// Takes what was counted in our own tables, before and after.
    pub(super) fn here(&mut self, before: &Counts, after: &Counts) {
        let counts = [
            (&mut self.experiments, before.experiments, after.experiments),
            (&mut self.experiment_tags, before.experiment_tags, after.experiment_tags),
            (&mut self.runs, before.runs, after.runs),
            (&mut self.points, before.points, after.points),
            (&mut self.params, before.params, after.params),
            (&mut self.tags, before.tags, after.tags),
            (&mut self.inputs, before.inputs, after.inputs),
            (&mut self.logged_models, before.logged_models, after.logged_models),
            (&mut self.logged_model_values, before.logged_model_values, after.logged_model_values),
            (&mut self.logged_model_metrics, before.logged_model_metrics, after.logged_model_metrics),
            (&mut self.logged_model_links, before.logged_model_links, after.logged_model_links),
            (&mut self.models, before.models, after.models),
            (&mut self.model_tags, before.model_tags, after.model_tags),
            (&mut self.versions, before.versions, after.versions),
            (&mut self.version_tags, before.version_tags, after.version_tags),
            (&mut self.stages, before.stages, after.stages),
            (&mut self.aliases, before.aliases, after.aliases),
        ];
        for (line, before, after) in counts {
            line.here = after;
            line.new = after - before;
        }
    }

    fn lines(&self) -> Vec<(&'static str, Line)> {
        let mut lines = vec![
            ("experiments", self.experiments),
            ("experiment tags", self.experiment_tags),
            ("runs", self.runs),
            ("metric points", self.points),
            ("params", self.params),
            ("run tags", self.tags),
            ("data set inputs", self.inputs),
            ("logged models", self.logged_models),
            ("their params, tags", self.logged_model_values),
            ("their metrics", self.logged_model_metrics),
            ("their uses by runs", self.logged_model_links),
            ("registered models", self.models),
            ("model tags", self.model_tags),
            ("model versions", self.versions),
            ("version tags", self.version_tags),
            ("versions in a stage", self.stages),
            ("aliases", self.aliases),
        ];
        lines.extend(self.artifacts.map(|line| ("artifact files", line)));
        lines
    }

    /// Everything that was found is here. More may be here: what was logged to it since.
    pub fn complete(&self) -> bool {
        self.left_out.is_empty() && self.lines().iter().all(|(_, line)| line.here >= line.there)
    }

    /// Some things have other names here.
    pub fn has_renamed(&self) -> bool {
        !self.renamed.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<20} {:>12} {:>12} {:>12}", "", "there", "here", "new now")?;
        for (kind, line) in self.lines() {
            let judged = match line.here - line.there {
                0 => String::new(),
                more if more > 0 => format!("  {more} more here, made since"),
                less => format!("  {} MISSING", -less),
            };
            writeln!(f, "{kind:<20} {:>12} {:>12} {:>12}{judged}", line.there, line.here, line.new)?;
        }
        for (title, notes) in [("Renamed", &self.renamed), ("Left out", &self.left_out), ("To know", &self.remarks)] {
            if notes.is_empty() {
                continue;
            }
            writeln!(f, "\n{title} ({}):", notes.len())?;
            for note in notes.iter().take(SHOWN) {
                writeln!(f, "  {note}")?;
            }
            if notes.len() > SHOWN {
                writeln!(f, "  and {} more", notes.len() - SHOWN)?;
            }
        }
        let verdict = match (self.complete(), self.has_renamed()) {
            (true, false) => "Everything that was found there is here.",
            (true, true) => "Everything that was found there is here, some of it under another name.",
            (false, _) => "NOT everything that was found there is here; see above.",
        };
        write!(f, "\n{verdict}")
    }
}

/// The bar that shows how far an import has come; on a terminal only.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar on standard error.
    pub fn on_terminal() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
        bar.set_style(ProgressStyle::default_bar());
        Self { bar }
    }

    /// Begins a part with so many things to bring, if that is known.
    pub(super) fn begin(&self, what: &'static str, total: Option<i64>) {
        let style = if total.is_some() {
            "{msg:>18} [{bar:40}] {human_pos}/{human_len} {per_sec} {eta}"
        } else {
            "{msg:>18} {spinner} {human_pos} {per_sec}"
        };
        if let Ok(style) = ProgressStyle::with_template(style) {
            self.bar.set_style(style);
        }
        self.bar.reset();
        match total {
            Some(total) => self.bar.set_length(total.unsigned_abs()),
            None => self.bar.unset_length(),
        }
        self.bar.set_message(what);
    }

    /// So many more are here.
    pub(super) fn step(&self, done: usize) {
        self.bar.inc(done as u64);
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_left_out_is_said_and_counts() {
        let mut report =
            Report { runs: Line { there: 3, here: 3, new: 3 }, points: Line { there: 5, here: 7, new: 5 }, ..Report::default() };
        assert!(report.complete() && !report.has_renamed());
        assert!(report.to_string().contains("2 more here") && report.to_string().ends_with("Everything that was found there is here."));
        report.renamed("registered model", "fr\u{430}ud", "fr_ud-1");
        assert!(report.complete() && report.has_renamed());
        assert!(report.to_string().contains("registered model \"fr\u{430}ud\" is here \"fr_ud-1\""));
        report.left_out_kinds(vec![("traces", 2), ("experiments", 0)]);
        assert!(
            !report.complete() && report.to_string().contains("2 traces: not imported") && !report.to_string().contains("0 experiments")
        );
        let lost = Report { params: Line { there: 2, here: 1, new: 1 }, ..Report::default() };
        assert!(!lost.complete() && lost.to_string().contains("1 MISSING"));
    }
}
