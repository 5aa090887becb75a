//! The project of a folder, with the templates and the files of holidays that lie beside it.

use std::fs;
use std::path::{Path, PathBuf};

use cauce_spec::{Project, check_project, check_template};

/// The project of a folder; none where it has no project file.
pub(crate) fn of(folder: &Path) -> Project {
    let Ok(written) = fs::read(folder.join("cauce.yaml")) else { return Project::none() };
    let (project, found) = check_project(&written);
    let mut project = project.unwrap_or_else(|| panic!("{}: {found:?}", folder.display()));
    project
        .inline_holidays(|file| text(folder, file))
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let entries = fs::read_dir(folder.join("templates")).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable entry").path()).collect();
    files.sort();
    for file in files {
        let shown = format!("templates/{}", file.file_name().expect("a name").to_string_lossy());
        let text = fs::read(&file).expect("a readable template");
        let (template, found) = check_template(&text, &shown);
        let (name, template) = template.unwrap_or_else(|| panic!("{shown}: {found:?}"));
        project.templates.insert(name, template);
    }
    project
}

/// The text of a file of a project.
pub(crate) fn text(folder: &Path, file: &str) -> Result<String, String> {
    fs::read_to_string(folder.join(file)).map_err(|error| error.to_string())
}
