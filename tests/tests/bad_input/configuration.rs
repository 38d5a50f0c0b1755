//! What is wrong with settings.

use crate::place::Place;

/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:1";

rows! {
    config_is_no_yaml => Place::new().configured("rest:\n  port: [1\n").client(&["list"]);
    config_is_a_list => Place::new().configured("- a\n- b\n").client(&["list"]);
    config_has_an_alias => Place::new().configured("rest.port: &port 1\nrest.bind-port: *port\n").client(&["list"]);
    config_has_a_wrong_value => Place::new().configured("rest:\n  port: x\n").client(&["list"]);
    config_has_an_unknown_key => Place::new().configured("rest.prot: 1\n").client(&["list"]);
    config_has_a_key_like_no_other => Place::new().configured("colour: red\n").client(&["list"]);
    config_has_a_key_twice => Place::new().configured("rest.port: 1\nrest:\n  port: 2\n").client(&["list"]);
    config_is_missing => Place::new().client(&["list", "--configDir", "none"]);
    config_has_several_problems =>
        Place::new().configured("rest.port: x\nrest.prot: 1\n").daemon("jobmanager", &[]);
    config_has_a_key_without_effect => {
        Place::new().configured("state.changelog.enabled: true\n").client(&["list", "-m", NOWHERE])
    };
    property_has_a_wrong_value => Place::new().client(&["list", "-Drest.port=99999"]);
    property_is_unknown => Place::new().daemon("jobmanager", &["-Drest.prot=1"]);
    property_has_no_key => Place::new().client(&["list", "-D", "=1"]);
    variable_has_a_wrong_value => Place::new().client_with(&[("PELTON_REST_PORT", "x")], &["list"]);
    variable_is_no_key => Place::new().client_with(&[("PELTON_REST_PROT", "1")], &["list", "-m", NOWHERE]);
    memory_is_no_size => Place::new().daemon("taskmanager", &["-Dtaskmanager.memory.process.size=12x"]);
    memory_is_too_small => Place::new().daemon("taskmanager", &["-Dtaskmanager.memory.process.size=10m"]);
}
