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

/// Lowest, median and highest signal to noise of the logits for each token mixer, with int8
/// streams and with what is chosen, from `models/export/distribution.tsv`.
pub(super) fn spread(text: &str) -> Result<Vec<Vec<String>>> {
    let mut mixers: BTreeMap<String, [Vec<f64>; 2]> = BTreeMap::new();
    for line in lines(text) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [mixer, .., int8, _auto_step, auto] = fields[..] else {
            bail!("`{line}` has too few fields");
        };
        let all = mixers.entry(mixer.to_owned()).or_default();
        for (list, value) in all.iter_mut().zip([int8, auto]) {
            list.push(
                value
                    .parse()
                    .with_context(|| format!("`{value}` in `{line}`"))?,
            );
        }
    }
    let row = |(mixer, lists): (&String, &mut [Vec<f64>; 2])| {
        let mut row = vec![mixer.clone(), lists[0].len().to_string()];
        for list in lists {
            list.sort_by(f64::total_cmp);
            let at = |part: usize| list.get((list.len() - 1) * part / 2).copied();
            let each = [0, 1, 2].map(|part| at(part).unwrap_or(f64::NAN));
            row.extend(each.map(|decibels| format!("{decibels:.1}")));
        }
        row
    };
    Ok(mixers.iter_mut().map(row).collect())
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
                    a\t1\td\tn\tx\th\t1\t30.0\t1\t31.0\n\
                    a\t2\td\tn\tx\th\t1\t20.0\t1\t29.0\n\
                    a\t3\td\tn\tx\th\t1\t25.0\t1\t30.0\n";
        let rows = spread(text).unwrap();
        let expected = ["a", "3", "20.0", "25.0", "30.0", "29.0", "30.0", "31.0"];
        assert_eq!(rows, [expected]);
        assert!(spread("header\na\tb\n").is_err());
    }
}
