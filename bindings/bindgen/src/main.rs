//! Writes the Kotlin and Swift bindings of `ailurus-ffi`, and the text of its API.

mod api;

use anyhow::Result;
use camino::Utf8PathBuf;
use clap::{Parser, ValueEnum};
use uniffi_bindgen::bindings::{GenerateOptions, TargetLanguage, generate};

/// Writes the Kotlin and Swift bindings of a library, and the text of its API.
#[derive(Parser)]
enum Command {
    /// Writes bindings in a language.
    Generate {
        /// For which language.
        language: Language,
        /// The library, which must not be stripped.
        library: Utf8PathBuf,
        /// The folder for the bindings.
        out: Utf8PathBuf,
        /// The configuration.
        #[arg(long, default_value = "uniffi.toml")]
        config: Utf8PathBuf,
    },
    /// Prints the API, one line an item.
    Api {
        /// The library, which must not be stripped.
        library: Utf8PathBuf,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Language {
    Kotlin,
    Swift,
}

fn main() -> Result<()> {
    match Command::parse() {
        Command::Generate {
            language,
            library,
            out,
            config,
        } => generate(GenerateOptions {
            languages: vec![match language {
                Language::Kotlin => TargetLanguage::Kotlin,
                Language::Swift => TargetLanguage::Swift,
            }],
            source: library,
            out_dir: out,
            config_override: Some(config),
            format: false,
            crate_filter: None,
            metadata_no_deps: true,
        }),
        Command::Api { library } => {
            print!("{}", api::text(&library)?);
            Ok(())
        }
    }
}
