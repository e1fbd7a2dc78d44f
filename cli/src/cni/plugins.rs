//! Runs another plugin of CNI, as a runtime does.

use super::call::Call;
use super::error::{CniError, Kind};
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// Runs the plugin that `config` names with the call's own order. What it prints is the result; its own error is passed on.
pub fn run(call: &Call, config: &Value) -> Result<Vec<u8>, CniError> {
    let name = config["type"].as_str().unwrap_or_default();
    let program = find(call, name)?;
    let failed = |error: std::io::Error| {
        CniError::new(Kind::Internal, format!("the plugin {} could not be run", program.display()))
            .because(error)
    };
    let mut command = Command::new(&program);
    command.envs(call.variables.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let mut input = child.stdin.take().expect("it was asked for");
    let text = config.to_string();
    // Beside the reading, so that neither of two full pipes waits for the other.
    let writing = std::thread::spawn(move || {
        // Who does not read its configuration shows that by its answer.
        let _ = input.write_all(text.as_bytes());
    });
    let output = child.wait_with_output().map_err(failed)?;
    let _ = writing.join();
    // Its remarks belong into the runtime's log.
    let _ = std::io::stderr().lock().write_all(&output.stderr);
    if output.status.success() { Ok(output.stdout) } else { Err(complaint(name, &output)) }
}

/// The first folder that has the plugin.
fn find(call: &Call, name: &str) -> Result<PathBuf, CniError> {
    if name.is_empty() || name.contains('/') {
        return Err(CniError::new(
            Kind::Configuration,
            format!("type {name:?}: expected a plugin's name, such as bridge"),
        ));
    }
    let found = call.path.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| {
        let path: Vec<String> = call.path.iter().map(|folder| folder.display().to_string()).collect();
        CniError::new(Kind::Internal, format!("failed to find plugin {name:?} in path [{}]", path.join(" ")))
            .because("install the plugins of CNI, or correct CNI_PATH")
    })
}

fn complaint(name: &str, output: &Output) -> CniError {
    match serde_json::from_slice::<Value>(&output.stdout) {
        Ok(document) if document.get("code").is_some() => CniError::Delegate(document),
        _ => {
            let said = [&output.stderr, &output.stdout]
                .map(|bytes| String::from_utf8_lossy(bytes).trim().to_string());
            CniError::new(Kind::Internal, format!("plugin {name} failed ({})", output.status))
                .because(said.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; "))
        }
    }
}
