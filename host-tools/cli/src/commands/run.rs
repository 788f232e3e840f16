//! `tadpool run`.

use std::path::PathBuf;

use clap::Args;
use tadpool_compiler::given::images::ImageFile;
use tadpool_operations::run::{RunReport, run};

use super::board::{BoardArgs, SessionArgs};
use super::model::CompileArgs;
use super::named::Named;
use super::progress::Bars;
use super::record::RecordArgs;

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    model: CompileArgs,
    #[command(flatten)]
    board: BoardArgs,
    #[command(flatten)]
    session: SessionArgs,
    /// A firmware of one's own that answers by `tadpool-link`, instead of tadpool's. MODEL is
    /// to be compiled as its model was.
    #[arg(long, value_name = "FILE")]
    elf: Option<PathBuf>,
    /// Images of the network's input size.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    record: RecordArgs,
}

impl Run {
    pub(crate) fn run(self) -> anyhow::Result<RunReport> {
        let (model, compiled) = self.model.compile(&Named {
            board: Some(&self.board),
            probe: Some(&self.session.options()),
            firmware: self.elf.as_deref(),
            pictures: &self.images,
            files: [self.record.path(), None],
            ..Named::default()
        })?;
        let built = match &self.elf {
            Some(elf) => self.board.own(elf, &model, &compiled)?,
            None => self.board.build(&model, &compiled)?,
        };
        let pictures = self.images.iter().cloned();
        let pictures: Vec<_> = pictures.map(|path| ImageFile::new(path, None)).collect();
        let mut logged = Ok(());
        let ran = run(
            &model,
            &compiled,
            (&built, &self.session.reach()),
            &pictures,
            |session| {
                let shown = self.session.show_log(&built, session);
                logged = std::mem::replace(&mut logged, Ok(())).and(shown);
            },
            &Bars::default(),
        )?;
        logged?;
        if let Some(path) = self.record.path() {
            ran.record(&model, &compiled, &built)?.write(path)?;
        }
        Ok(ran.report)
    }
}
