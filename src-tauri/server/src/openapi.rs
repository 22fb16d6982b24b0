//! The description of the interface (OpenAPI 3.1), from the types that are sent.
//!
//! A test holds it against the router: each route with each of its methods is here, and nothing else.

use std::sync::OnceLock;

use nightjar_engine::api::{
    AlertSettings, AlertSettingsPatch, ApiError, Camera, CameraPatch, CameraSpec, Device, DevicePatch, Event,
    Export, ExportBegun, ExportSpec, Fault, FaultAdvice, NewPairing, Pairing, PairingSpec, Probe, Recordings,
    Segment, SegmentPatch, Storage, WhipToken, WhipTokenSpec,
};
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use crate::auth::Ticket;
use crate::routes::{
    Alerts, Cameras, Demo, DeviceList, Exports, Health, LiveText, Login, RecordingSwitch, TicketFor,
    WhipTokens,
};

/// The document, made once.
pub(crate) fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| Writer::new().write())
}

const JSON: &str = "application/json";
const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

struct Writer {
    /// Of what we take and of what we give: a field with a default must not be sent, but always comes.
    taken: SchemaGenerator,
    given: SchemaGenerator,
    paths: Map<String, Value>,
}

/// One operation under way.
struct Operation<'a> {
    writer: &'a mut Writer,
    path: &'static str,
    method: &'static str,
    value: Value,
}

impl Writer {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|s| {
                s.definitions_path = "/components/schemas".into();
                s.meta_schema = None;
            })
        };
        Self {
            taken: settings().for_deserialize().into_generator(),
            given: settings().for_serialize().into_generator(),
            paths: Map::new(),
        }
    }

    fn operation(
        &mut self,
        method: &'static str,
        path: &'static str,
        id: &str,
        summary: &str,
    ) -> Operation<'_> {
        let parameters: Vec<Value> = path
            .split('/')
            .filter_map(|part| Some(part.strip_prefix('{')?.split_once('}')?.0))
            .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
            .collect();
        let mut value = json!({
            "operationId": id,
            "summary": summary,
            "parameters": parameters,
            "responses": {},
        });
        if matches!(path, "/api/v1/health" | "/" | "/login" | "/publish") {
            value["security"] = json!([]);
        }
        let mut operation = Operation { writer: self, path, method, value };
        operation.refusals(&[400, 403, 421, 500]);
        if operation.value.get("security").is_none() {
            operation.refusals(&[401, 503]);
        }
        if path.contains('{') {
            operation.refusals(&[404]);
        }
        operation
    }

    fn write(mut self) -> Value {
        self.cameras();
        self.viewing();
        self.looking_back();
        self.others();
        self.signaling();
        self.phones();
        self.not_yet();
        // Both kinds of schemas are named alike and mean the same types; what is given is the fuller one.
        let mut schemas = self.taken.take_definitions(true);
        schemas.extend(self.given.take_definitions(true));
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "Nightjar",
                "version": env!("CARGO_PKG_VERSION"),
                "description": "Cameras on one wall. Times are RFC 3339 in UTC. Every error is \
                    {\"code\",\"message\"}; an invalid field is named in \"field\". A method that a path does not take is \
                    answered with 405, and Allow says which it takes; HEAD is taken wherever GET is.",
                "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "security": [{"token": []}, {"session": []}, {"ticket": []}],
            "paths": self.paths,
            "components": {
                "schemas": schemas,
                "securitySchemes": {
                    "token": {"type": "http", "scheme": "bearer",
                        "description": "server.token; nothing is asked for where none is configured."},
                    "session": {"type": "apiKey", "in": "cookie", "name": "nightjar_8420",
                        "description": "Set by POST /login; the name ends with the port."},
                    "ticket": {"type": "apiKey", "in": "query", "name": "ticket",
                        "description": "From POST /api/v1/tickets; for GET and WebSockets."},
                },
            },
        })
    }

    fn cameras(&mut self) {
        self.operation("get", "/api/v1/cameras", "listCameras", "All cameras")
            .gives::<Cameras>(200, "The cameras, in the order in which they were added")
            .end();
        self.operation("post", "/api/v1/cameras", "addCamera", "Add a camera")
            .takes::<CameraSpec>()
            .gives::<Camera>(201, "The camera; it is being connected to")
            .location()
            .refused(&[409])
            .end();
        self.operation("post", "/api/v1/cameras/probe", "probeCamera", "Look at a camera without saving it")
            .takes::<CameraSpec>()
            .gives::<Probe>(200, "What was found")
            .refused(&[502, 503])
            .end();
        self.operation("get", "/api/v1/cameras/{id}", "getCamera", "One camera")
            .gives::<Camera>(200, "The camera")
            .end();
        self.operation("patch", "/api/v1/cameras/{id}", "changeCamera", "Change a camera")
            .takes::<CameraPatch>()
            .gives::<Camera>(200, "The camera as it is now")
            .refused(&[409])
            .end();
        self.operation("delete", "/api/v1/cameras/{id}", "removeCamera", "Remove a camera")
            .says(204, "It is gone")
            .refused(&[409])
            .end();
        self.operation("post", "/api/v1/cameras/{id}/retry", "retryCamera", "Try a camera again, now")
            .gives::<Camera>(202, "The camera")
            .end();
        self.operation(
            "post",
            "/api/v1/cameras/{id}/recording",
            "setRecording",
            "Switch recording on or off",
        )
        .takes::<RecordingSwitch>()
        .gives::<Camera>(200, "The camera")
        .end();
        self.operation(
            "post",
            "/api/v1/cameras/{id}/fault",
            "reportFault",
            "A page cannot decode or show it",
        )
        .takes::<Fault>()
        .gives::<FaultAdvice>(200, "What the viewer that named itself shall do")
        .says(204, "Noted")
        .end();
        self.operation("post", "/api/v1/demo", "addDemo", "Add demo cameras")
            .takes::<Demo>()
            .gives::<Cameras>(201, "The cameras that were added")
            .refused(&[409])
            .end();
    }

    fn viewing(&mut self) {
        let stream = || {
            let schema = json!({"type": "string", "enum": ["main", "sub"], "default": "main"});
            ("stream", "The small stream, where the camera has one.", schema)
        };
        let width = json!({"type": "integer", "minimum": 16, "maximum": 3840});
        self.operation("get", "/api/v1/cameras/{id}/snapshot.jpg", "snapshot", "The newest key frame")
            .query("width", "In pixels; as the camera sends it when left out.", width)
            .raw(200, "A JPEG; Last-Modified is when it was taken", "image/jpeg")
            .refused(&[406, 422, 503])
            .end();
        let (name, what, schema) = stream();
        self.operation("post", "/api/v1/cameras/{id}/whep", "whepOffer", "Watch by WebRTC (WHEP)")
            .query(name, what, schema)
            .body(SDP, json!({"type": "string"}))
            .raw(201, "The answer, with all candidates", SDP)
            .location()
            .refused(&[406, 422, 503])
            .end();
        self.operation("options", "/api/v1/cameras/{id}/whep", "whepOptions", "What WHEP takes")
            .says(204, "Accept-Post says it")
            .end();
        self.operation("patch", "/api/v1/cameras/{id}/whep/{viewer}", "whepTrickle", "A viewer's candidates")
            .body(FRAGMENT, json!({"type": "string"}))
            .says(204, "Taken")
            .refused(&[412])
            .end();
        self.operation("delete", "/api/v1/cameras/{id}/whep/{viewer}", "whepEnd", "End a viewer")
            .says(200, "Ended")
            .end();
        self.operation("options", "/api/v1/cameras/{id}/whep/{viewer}", "whepViewerOptions", "What it takes")
            .says(204, "Accept-Patch says it")
            .end();
        self.publishing();
        let (name, what, schema) = stream();
        self.operation(
            "get",
            "/api/v1/cameras/{id}/live",
            "live",
            "Watch by Media Source Extensions (WebSocket)",
        )
        .query(name, what, schema)
        .query(
            "sound",
            "Off leaves the sound of a camera out, unless it is all there is.",
            json!({ "type": "string", "enum": ["on", "off"], "default": "on" }),
        )
        .gives::<LiveText>(
            101,
            "Text messages as below; the first binary message after a mime is the init segment, the \
                 others are fragments",
        )
        .refused(&[422])
        .end();
    }

    fn looking_back(&mut self) {
        let time = || json!({"type": "string", "format": "date-time"});
        let id = || json!({"type": "string"});
        self.operation("get", "/api/v1/recordings", "listRecordings", "Recordings, gaps and events")
            .query("camera", "Of one camera; of all when left out.", id())
            .query("from", "RFC 3339; without it, from the beginning.", time())
            .query("to", "RFC 3339; without it, until now.", time())
            .gives::<Recordings>(200, "What overlaps the span, oldest first")
            .refused(&[404, 422])
            .end();
        self.operation("get", "/api/v1/recordings/{id}", "getRecording", "A recording")
            .gives::<Segment>(200, "The recording")
            .end();
        self.operation("get", "/api/v1/recordings/{id}.mp4", "getRecordingFile", "The file of a recording")
            .file()
            .end();
        self.operation("patch", "/api/v1/recordings/{id}", "changeRecording", "Protect a recording")
            .takes::<SegmentPatch>()
            .gives::<Segment>(200, "The recording as it is now")
            .end();
        self.operation("delete", "/api/v1/recordings/{id}", "removeRecording", "Remove a recording")
            .says(204, "It is gone")
            .refused(&[409])
            .end();
        let width = json!({"type": "integer", "minimum": 16, "maximum": 3840});
        self.operation(
            "get",
            "/api/v1/recordings/{id}/thumbnail.jpg",
            "recordingThumbnail",
            "A picture of a moment: the key frame at or before it",
        )
        .query("at", "RFC 3339; the first picture when left out.", time())
        .query("width", "In pixels; as it was recorded when left out.", width)
        .raw(200, "A JPEG; Last-Modified is when it was taken", "image/jpeg")
        .refused(&[406, 422, 503])
        .end();
        self.operation("get", "/api/v1/exports", "listExports", "Exports")
            .gives::<Exports>(200, "The exports, oldest first")
            .end();
        self.operation("post", "/api/v1/exports", "export", "Write a span into one file")
            .takes::<ExportSpec>()
            .gives::<ExportBegun>(202, "It was begun")
            .location_of(202)
            .refused(&[404, 503, 507])
            .end();
        self.operation("get", "/api/v1/exports/{id}", "getExport", "How an export is")
            .gives::<Export>(200, "The export")
            .end();
        self.operation(
            "get",
            "/api/v1/exports/{id}.mp4",
            "getExportFile",
            "The file of an export that is done",
        )
        .file()
        .refused(&[409])
        .end();
        self.operation("delete", "/api/v1/exports/{id}", "removeExport", "Cancel or remove an export")
            .says(204, "It is gone")
            .end();
        self.operation(
            "get",
            "/api/v1/storage",
            "storage",
            "What recordings take, and how long that goes on",
        )
        .gives::<Storage>(200, "The storage")
        .end();
    }

    fn publishing(&mut self) {
        self.operation(
            "post",
            "/api/v1/whip/{room}",
            "whipPublish",
            "Publish by WHIP: the camera of that name",
        )
        .body(SDP, json!({"type": "string"}))
        .raw(201, "The answer, with all candidates", SDP)
        .location()
        .refused(&[406, 409, 422, 503])
        .end();
        self.operation("options", "/api/v1/whip/{room}", "whipOptions", "What WHIP takes")
            .says(204, "Accept-Post says it")
            .end();
        self.operation("patch", "/api/v1/whip/{room}/{session}", "whipTrickle", "Candidates of a publisher")
            .body(FRAGMENT, json!({"type": "string"}))
            .says(204, "Taken")
            .refused(&[412, 422])
            .end();
        self.operation("delete", "/api/v1/whip/{room}/{session}", "whipEnd", "End a publisher")
            .says(200, "Ended")
            .end();
        self.operation("options", "/api/v1/whip/{room}/{session}", "whipSessionOptions", "What it takes")
            .says(204, "Accept-Patch says it")
            .end();
    }

    fn others(&mut self) {
        self.operation("get", "/api/v1/health", "health", "Whether it runs")
            .gives::<Health>(200, "It runs")
            .end();
        self.operation("get", "/api/v1/alerts", "listAlerts", "Alerts")
            .gives::<Alerts>(200, "The alerts")
            .end();
        self.operation(
            "get",
            "/api/v1/alerts/settings",
            "getAlertSettings",
            "What is told of cameras in trouble, when and where",
        )
        .gives::<AlertSettings>(200, "The settings")
        .end();
        self.operation(
            "patch",
            "/api/v1/alerts/settings",
            "changeAlertSettings",
            "Change what is told; it counts more than the configuration file",
        )
        .takes::<AlertSettingsPatch>()
        .gives::<AlertSettings>(200, "The settings as they are now")
        .end();
        self.operation("get", "/api/v1/events", "events", "Everything that happens (WebSocket)")
            .gives::<Event>(101, "Text messages: a snapshot with seq 0, then events numbered without holes")
            .end();
        self.operation("post", "/api/v1/tickets", "makeTicket", "Open a path for half a minute")
            .takes::<TicketFor>()
            .gives::<Ticket>(201, "To be appended as ?ticket=")
            .end();
        self.operation("post", "/login", "login", "The token for a session")
            .takes::<Login>()
            .says(204, "The session is in the cookie")
            .says(303, "The same, to a form")
            .refused(&[401, 503])
            .end();
        self.operation("get", "/login", "loginPage", "The wall").raw(200, "The page", "text/html").end();
        self.operation("get", "/", "wall", "The wall").raw(200, "The page", "text/html").end();
        self.operation("get", "/publish", "publish", "The phone's page")
            .raw(200, "The page", "text/html")
            .end();
        self.operation("get", "/metrics", "metrics", "Figures for Prometheus")
            .raw(200, "Text format 0.0.4", "text/plain")
            .end();
        self.operation("get", "/api/v1/debug/pipeline.dot", "pipeline", "The running graph")
            .raw(200, "In the DOT language", "text/vnd.graphviz")
            .end();
        self.operation(
            "get",
            "/api/v1/debug/bundle",
            "bundle",
            "A report for the maintainers, free of secrets",
        )
        .raw(200, "Log, versions, cameras, alerts, figures, graph, configuration", "application/zip")
        .end();
        self.operation("get", "/api/v1/openapi.json", "openapi", "This description")
            .raw(200, "OpenAPI 3.1", JSON)
            .end();
    }

    /// What phones speak with. Its messages are JSON of their own, see `signaling`.
    fn signaling(&mut self) {
        self.operation("get", "/signal", "signal", "Signaling (WebSocket)")
            .says(101, "Text messages of signaling, both ways")
            .refused(&[404])
            .end();
        self.operation(
            "get",
            "/api/v1/sig/stream",
            "receiveSignals",
            "Signaling over HTTPS: what is said to a peer",
        )
        .raw(200, "Events: `session` first, then messages, `close` at the end", "text/event-stream")
        .refused(&[404])
        .end();
        self.operation("post", "/api/v1/sig", "sendSignal", "Signaling over HTTPS: what a peer says")
            .body(
                JSON,
                json!({
                    "type": "object",
                    "required": ["session", "message"],
                    "properties": {"session": {"type": "string"}, "message": {"type": "object"}},
                }),
            )
            .says(204, "It was taken; what it leads to comes on the stream")
            .refused(&[404])
            .end();
    }

    fn phones(&mut self) {
        self.operation("get", "/api/v1/devices", "listDevices", "Paired phones")
            .gives::<DeviceList>(200, "The phones, and how they come in")
            .refused(&[404])
            .end();
        self.operation("get", "/api/v1/devices/{id}", "getDevice", "A paired phone")
            .gives::<Device>(200, "The phone")
            .end();
        self.operation("patch", "/api/v1/devices/{id}", "renameDevice", "Give a phone another name")
            .takes::<DevicePatch>()
            .gives::<Device>(200, "The phone")
            .end();
        self.operation("delete", "/api/v1/devices/{id}", "removeDevice", "Let a phone in no more, at once")
            .says(204, "It is out, and what it published has ended")
            .end();
        self.operation("post", "/api/v1/pairings", "pair", "A new QR code")
            .takes::<PairingSpec>()
            .optional()
            .gives::<NewPairing>(201, "For one phone, and two minutes")
            .location()
            .refused(&[404, 409, 503])
            .end();
        self.operation("get", "/api/v1/pairings/{id}", "getPairing", "How far a pairing has come")
            .gives::<Pairing>(200, "The pairing")
            .end();
        self.operation(
            "delete",
            "/api/v1/pairings/{id}",
            "endPairing",
            "Refuse the phone that asks, or give up",
        )
        .says(204, "Nobody comes in by it any more")
        .end();
        self.operation("post", "/api/v1/pairings/{id}/allow", "allowPairing", "Let the phone in that asks")
            .gives::<Pairing>(200, "It is in")
            .refused(&[409])
            .end();
        self.operation("get", "/api/v1/whip-tokens", "listWhipTokens", "Rights to publish by WHIP")
            .gives::<WhipTokens>(200, "The rights, without their texts")
            .refused(&[404])
            .end();
        self.operation(
            "post",
            "/api/v1/whip-tokens",
            "makeWhipToken",
            "A right to publish by WHIP in a room",
        )
        .takes::<WhipTokenSpec>()
        .gives::<WhipToken>(201, "With its text, this once")
        .refused(&[404])
        .end();
        self.operation("delete", "/api/v1/whip-tokens/{id}", "removeWhipToken", "Take a right back")
            .says(204, "It opens nothing any more")
            .end();
    }

    /// What is in the contract and answers 501 so far.
    fn not_yet(&mut self) {
        self.operation("post", "/api/v1/cameras/{id}/ptz", "movePtz", "Move a camera").refused(&[501]).end();
    }
}

impl Operation<'_> {
    fn query(mut self, name: &str, what: &str, schema: Value) -> Self {
        let parameter = json!({"name": name, "in": "query", "description": what, "schema": schema});
        if let Some(parameters) = self.value["parameters"].as_array_mut() {
            parameters.push(parameter);
        }
        self
    }

    fn body(mut self, kind: &str, schema: Value) -> Self {
        self.value["requestBody"] = json!({"required": true, "content": {kind: {"schema": schema}}});
        self.refused(&[413, 415])
    }

    /// What it takes may be left out.
    fn optional(mut self) -> Self {
        self.value["requestBody"]["required"] = json!(false);
        self
    }

    /// Gives a large file, or a part of it.
    fn file(mut self) -> Self {
        let range = json!({"name": "Range", "in": "header", "schema": {"type": "string"},
            "description": "One range of bytes; the whole file when left out."});
        if let Some(parameters) = self.value["parameters"].as_array_mut() {
            parameters.push(range);
        }
        self.raw(200, "The file", "video/mp4")
            .raw(206, "The part of the file that Range asked for", "video/mp4")
            .says(304, "If-None-Match names the present file, or it is not newer than If-Modified-Since")
            .says(416, "The file ends before that part; Content-Range says where")
    }

    /// Takes a JSON object.
    fn takes<T: JsonSchema>(self) -> Self {
        let schema = value(self.writer.taken.subschema_for::<T>());
        self.body(JSON, schema).refused(&[422])
    }

    fn gives<T: JsonSchema>(mut self, status: u16, what: &str) -> Self {
        let schema = value(self.writer.given.subschema_for::<T>());
        self.value["responses"][status.to_string()] =
            json!({"description": what, "content": {JSON: {"schema": schema}}});
        self
    }

    fn raw(mut self, status: u16, what: &str, kind: &str) -> Self {
        let schema = if kind == JSON { json!({"type": "object"}) } else { json!({"type": "string"}) };
        self.value["responses"][status.to_string()] =
            json!({"description": what, "content": {kind: {"schema": schema}}});
        self
    }

    fn says(mut self, status: u16, what: &str) -> Self {
        self.value["responses"][status.to_string()] = json!({"description": what});
        self
    }

    /// The 201 says where the new thing is.
    fn location(self) -> Self {
        self.location_of(201)
    }

    fn location_of(mut self, status: u16) -> Self {
        let header = json!({"Location": {"required": true, "schema": {"type": "string"}}});
        self.value["responses"][status.to_string()]["headers"] = header;
        self
    }

    fn refused(mut self, statuses: &[u16]) -> Self {
        self.refusals(statuses);
        self
    }

    fn refusals(&mut self, statuses: &[u16]) {
        let schema = value(self.writer.given.subschema_for::<ApiError>());
        for status in statuses {
            self.value["responses"][status.to_string()] =
                json!({"description": reason(*status), "content": {JSON: {"schema": schema}}});
        }
    }

    fn end(self) {
        let path = self.writer.paths.entry(self.path).or_insert_with(|| json!({}));
        path[self.method] = self.value;
    }
}

fn value(schema: Schema) -> Value {
    schema.to_value()
}

fn reason(status: u16) -> &'static str {
    match status {
        400 => "Malformed",
        401 => "No token, or a wrong one",
        403 => "A page of another site",
        404 => "There is no such thing",
        406 => "No codec in common",
        409 => "It exists already, or cannot be changed",
        412 => "If-Match names another session",
        413 => "Larger than 64 KiB",
        415 => "Another content type is needed",
        421 => "Not the host that was asked for",
        422 => "Readable, but a field is not valid",
        501 => "Not built yet",
        502 => "The camera could not be reached, or refused",
        503 => "Not live, or too many at once",
        507 => "The disk is full",
        _ => "A defect of Nightjar",
    }
}
