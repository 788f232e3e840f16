//! Tables of forms by exporters and of fresh networks, from what `models/export` measured.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};

/// The rows of `models/export/forms.tsv`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Forms {
    /// Each exporter with its operator set, in the order of the file.
    pub(super) exporters: Vec<String>,
    /// The part and the form, then for each exporter the worst step in dB, or why there is
    /// none.
    pub(super) meant: Vec<Vec<String>>,
    /// Forms that are refused by design, and what is said of them.
    pub(super) refused: Vec<Vec<String>>,
    /// Files that were imported, and files in all.
    pub(super) imported: usize,
    pub(super) files: usize,
    /// Files that an exporter could write and that were not taken as they are meant to be.
    pub(super) unexpected: usize,
}

impl Forms {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut forms = Self::default();
        for line in lines(text) {
            let fields: Vec<&str> = line.split('\t').collect();
            let [
                part,
                form,
                design,
                exporter,
                opset,
                result,
                step,
                _logits,
                why,
            ] = fields[..]
            else {
                bail!("`{line}` has {} fields, not nine", fields.len());
            };
            let exporter = format!("{exporter} {opset}");
            if !forms.exporters.contains(&exporter) {
                forms.exporters.push(exporter);
            }
            let name = [part, form].map(str::to_owned);
            let rows = match design {
                "imported" => &mut forms.meant,
                "refused" => &mut forms.refused,
                other => bail!("`{other}` is neither imported nor refused"),
            };
            if rows.last().is_none_or(|row| row[..2] != name) {
                rows.push(name.to_vec());
            }
            let row = rows.last_mut().context("a row")?;
            match (design, result) {
                ("imported", "imported") => row.push(step.to_owned()),
                ("imported", other) => row.push(other.to_owned()),
                ("refused", "refused") if row.len() == 2 => row.push(said(why)),
                _ => {}
            }
            if result != "not exported" {
                forms.files += 1;
                forms.imported += usize::from(result == "imported");
                forms.unexpected += usize::from(result != design);
            }
        }
        ensure!(!forms.meant.is_empty(), "there are no forms");
        Ok(forms)
    }
}

/// The reason of a refusal, without the node's name and the number of nodes like it.
fn said(why: &str) -> String {
    let said = why.split_once("): ").map_or(why, |(_, said)| said);
    let alone = said.strip_suffix(" more like it)");
    let alone = alone.and_then(|said| said.rsplit_once(" ("));
    alone.map_or(said, |(said, _)| said).to_owned()
}

/// Networks with fresh parameters, from `models/export/distribution.tsv`: the lowest, the
/// median and the highest signal to noise of the logits for each token mixer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Spread {
    /// With int8 streams, then with what is chosen, in dB.
    pub(super) ours: Vec<Vec<String>>,
    /// What is chosen less ONNX Runtime's static quantization, by minima and maxima, then by
    /// percentiles, in dB.
    pub(super) ahead: Vec<Vec<String>>,
}

impl Spread {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut mixers: BTreeMap<String, [Vec<f64>; 4]> = BTreeMap::new();
        let mut all: [Vec<f64>; 4] = Default::default();
        for line in lines(text) {
            let fields: Vec<&str> = line.split('\t').collect();
            let [mixer, _, _, _, _, _, _, int8, _, auto, minimax, percentile] = fields[..] else {
                bail!("`{line}` has {} fields, not twelve", fields.len());
            };
            let number = |value: &str| {
                let number = value.parse::<f64>();
                number.with_context(|| format!("`{value}` in `{line}`"))
            };
            let (int8, auto) = (number(int8)?, number(auto)?);
            let values = [
                int8,
                auto,
                auto - number(minimax)?,
                auto - number(percentile)?,
            ];
            let lists = mixers.entry(mixer.to_owned()).or_default();
            for ((list, all), value) in lists.iter_mut().zip(&mut all).zip(values) {
                list.push(value);
                all.push(value);
            }
        }
        ensure!(!mixers.is_empty(), "there are no networks");
        let mut spread = Self::default();
        let lists = mixers.into_iter().chain([("all".to_owned(), all)]);
        for (mixer, mut lists) in lists {
            let head = [mixer, lists[0].len().to_string()];
            for list in &mut lists {
                list.sort_by(f64::total_cmp);
            }
            let row = |lists: &[Vec<f64>], show: fn(f64) -> String| {
                let quantiles = lists.iter().flat_map(|list| quantiles(list)).map(show);
                head.iter().cloned().chain(quantiles).collect()
            };
            spread
                .ours
                .push(row(&lists[..2], |value| format!("{value:.1}")));
            spread
                .ahead
                .push(row(&lists[2..], |value| format!("{value:+.1}")));
        }
        Ok(spread)
    }
}

/// The lowest, the median and the highest of sorted values.
fn quantiles(sorted: &[f64]) -> [f64; 3] {
    let at = |part: usize| sorted.get(sorted.len().saturating_sub(1) * part / 2);
    [0, 1, 2].map(|part| at(part).copied().unwrap_or(f64::NAN))
}

/// Without comments and the header.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with('#')).skip(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_make_a_row_each() {
        let text = "# A comment.\nheader\n\
                    stem\ta\timported\tX\t13\timported\t30.5\t40.0\t\n\
                    stem\ta\timported\tY\t18\trefused\t\t\tnode `n` (Op): why; do that\n\
                    norm\tb\trefused\tX\t13\tnot exported\t\t\tError\n\
                    norm\tb\trefused\tY\t18\trefused\t\t\tnode `n` (Op): 4 groups; do that (so) (2 more like it)\n";
        let forms = Forms::parse(text).unwrap();
        assert_eq!(forms.exporters, ["X 13", "Y 18"]);
        assert_eq!(forms.meant, [["stem", "a", "30.5", "refused"]]);
        assert_eq!(forms.refused, [["norm", "b", "4 groups; do that (so)"]]);
        assert_eq!((forms.imported, forms.files, forms.unexpected), (1, 3, 1));
        assert!(Forms::parse("header\na\tb\n").is_err());
    }

    #[test]
    fn quantiles_are_of_each_mixer() {
        let text = "header\n\
                    a\t1\td\tn\tx\th\t1\t30.0\t1\t31.0\t30.0\t32.0\n\
                    a\t2\td\tn\tx\th\t1\t20.0\t1\t29.0\t25.0\t24.0\n\
                    a\t3\td\tn\tx\th\t1\t25.0\t1\t30.0\t28.0\t29.0\n";
        let spread = Spread::parse(text).unwrap();
        let expected = ["3", "20.0", "25.0", "30.0", "29.0", "30.0", "31.0"];
        assert_eq!(spread.ours[0][1..], expected);
        let expected = ["3", "+1.0", "+2.0", "+4.0", "-1.0", "+1.0", "+5.0"];
        assert_eq!(spread.ahead[0][1..], expected);
        assert_eq!([&spread.ours[0][0], &spread.ours[1][0]], ["a", "all"]);
        assert!(Spread::parse("header\na\tb\n").is_err());
    }
}
