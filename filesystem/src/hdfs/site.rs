//! Hadoop's own configuration files, `core-site.xml` and `hdfs-site.xml`.
//!
//! They are in the folder that `HADOOP_CONF_DIR` names, or in `etc/hadoop` below `HADOOP_HOME`. Files that need more than
//! names and values (other files that they include) are refused: half of a configuration leads to the wrong cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use roxmltree::{Document, Node};

use super::settings::HdfsSettingsError;

const FILES: [&str; 2] = ["core-site.xml", "hdfs-site.xml"];

/// What the files of this host say; nothing when there are none.
pub(super) fn options() -> Result<BTreeMap<String, String>, HdfsSettingsError> {
    let set = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("HADOOP_CONF_DIR").or_else(|| set("HADOOP_HOME").map(|home| home.join("etc/hadoop")));
    folder.map_or_else(|| Ok(BTreeMap::new()), |folder| options_in(&folder))
}

fn options_in(folder: &Path) -> Result<BTreeMap<String, String>, HdfsSettingsError> {
    let mut options = BTreeMap::new();
    for file in FILES.map(|name| folder.join(name)) {
        match std::fs::read_to_string(&file) {
            Ok(text) => options.extend(parse(&file, &text)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(HdfsSettingsError::Unreadable { file, source }),
        }
    }
    Ok(options)
}

fn parse(file: &Path, text: &str) -> Result<Vec<(String, String)>, HdfsSettingsError> {
    let file = || file.to_owned();
    let document = Document::parse(text).map_err(|source| HdfsSettingsError::Malformed { file: file(), source })?;
    let configuration = document.root_element();
    if configuration.tag_name().name() != "configuration" {
        return Err(HdfsSettingsError::NoConfiguration { file: file() });
    }
    if document.descendants().any(|node| node.tag_name().name() == "include") {
        return Err(HdfsSettingsError::Includes { file: file() });
    }
    let properties = configuration.children().filter(|node| node.tag_name().name() == "property");
    Ok(properties.filter_map(|property| Some((text_of(property, "name")?, text_of(property, "value")?))).collect())
}

fn text_of(property: Node<'_, '_>, name: &str) -> Option<String> {
    let text = property.children().find(|node| node.tag_name().name() == name)?.text()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORE: &str = r#"<?xml version="1.0"?>
        <?xml-stylesheet type="text/xsl" href="configuration.xsl"?>
        <configuration>
          <!-- <property><name>no</name><value>no</value></property> -->
          <property>
            <name>fs.defaultFS</name>
            <value> hdfs://cluster </value>
            <final>true</final>
          </property>
          <property><name>empty</name><value></value></property>
        </configuration>"#;

    fn folder_with(file: &str, text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(file), text).expect("written");
        folder
    }

    #[test]
    fn both_files_are_read_and_the_second_is_stronger() {
        let folder = folder_with("core-site.xml", CORE);
        assert_eq!(
            options_in(folder.path()).expect("read"),
            [("fs.defaultFS".to_owned(), "hdfs://cluster".to_owned())].into()
        );
        let text =
            "<configuration><property><name>fs.defaultFS</name><value>hdfs://b</value></property></configuration>";
        std::fs::write(folder.path().join("hdfs-site.xml"), text).expect("written");
        assert_eq!(options_in(folder.path()).expect("read")["fs.defaultFS"], "hdfs://b");
        assert!(options_in(&folder.path().join("none")).expect("no files").is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_understood_is_named() {
        for (text, expected) in [
            ("<configuration>", "hdfs-site.xml` is no valid XML"),
            ("<html/>", "hdfs-site.xml` has no `configuration`"),
            (
                r#"<configuration xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="x"/></configuration>"#,
                "hdfs-site.xml` includes other files",
            ),
        ] {
            let folder = folder_with("hdfs-site.xml", text);
            let message = options_in(folder.path()).expect_err(text).to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
