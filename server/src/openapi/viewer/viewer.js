// Shows the OpenAPI document of the server that has sent this page, and sends requests to it. It asks no other host, and
// keeps the token in memory only. All texts become text nodes, so that none is read as HTML.
"use strict";

// A path below which a gateway shows the server, such as /realtime/v1. With the origin in front, so that a path that
// begins with two slashes is no other host.
const base = location.origin + location.pathname.replace(/\/+swaggerui\/*$/, "");
const METHODS = ["get", "head", "post", "put", "patch", "delete", "options"];
let api;

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function resolve(schema) {
  if (!schema.$ref) return schema;
  return schema.$ref.slice(2).split("/").reduce((part, name) => part[name], api);
}

// A schema as a type, in the notation of TypeScript.
function typeOf(reference, indent = "") {
  const schema = resolve(reference);
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.anyOf) return schema.anyOf.map((one) => typeOf(one, indent)).join(" | ");
  if (schema.type === "array") return `(${typeOf(schema.items ?? {}, indent)})[]`;
  if (schema.properties) return objectType(schema, indent);
  return [schema.type ?? "any", ...bounds(schema)].join(" ");
}

function objectType(schema, indent) {
  const inner = indent + "  ";
  const members = Object.entries(schema.properties).map(([name, member]) => {
    const mark = schema.required?.includes(name) ? "" : "?";
    return `${inner}${name}${mark}: ${typeOf(member, inner)}`;
  });
  return `{\n${members.join(",\n")}\n${indent}}`;
}

function bounds(schema) {
  const names = ["minimum", "maximum", "minLength", "maxLength", "pattern", "format"];
  return names.filter((name) => name in schema).map((name) => `${name}=${schema[name]}`);
}

// A value of a schema, to begin with.
function sampleOf(reference) {
  const schema = resolve(reference);
  if ("const" in schema) return schema.const;
  if (schema.enum) return schema.enum[0];
  if (schema.anyOf) return sampleOf(schema.anyOf[0]);
  switch (schema.type) {
    case "object": {
      const names = schema.required ?? Object.keys(schema.properties ?? {}).slice(0, 2);
      return Object.fromEntries(names.map((name) => [name, sampleOf(schema.properties?.[name] ?? {})]));
    }
    case "array":
      return schema.minItems ? [sampleOf(schema.items)] : [];
    case "integer":
      return schema.minimum ?? 0;
    case "boolean":
      return false;
    default:
      return schema.type === "string" ? "" : {};
  }
}

function parameterField(parameter) {
  const label = `${parameter.name} (${parameter.in}${parameter.required ? ", required" : ""})`;
  const input = element("input", { name: parameter.name, title: typeOf(parameter.schema) });
  input.placeholder = parameter.description ?? "";
  input.dataset.place = parameter.in;
  return element("label", { className: "parameter" }, element("span", { className: "path" }, label), input);
}

function bodyFields(body) {
  const types = Object.keys(body.content);
  const kind = element("select", { name: "content-type" }, ...types.map((type) => element("option", {}, type)));
  const text = element("textarea", { name: "body", rows: 8 });
  text.value = JSON.stringify(sampleOf(body.content[types[0]].schema), null, 2);
  const schemas = types.map((type) => element("pre", {}, `${type}: ${typeOf(body.content[type].schema)}`));
  return [element("h3", {}, "Body"), element("p", { className: "note" }, body.description), ...schemas, kind, text];
}

function responses(operation) {
  return Object.entries(operation.responses).map(([status, response]) => {
    const bodies = Object.entries(response.content ?? {});
    const schemas = bodies.map(([type, { schema }]) => element("pre", {}, `${type}: ${typeOf(schema)}`));
    return element("div", {}, element("b", {}, status), ` ${response.description}`, ...schemas);
  });
}

// The request that the fields of a form describe.
function request(form, method, path, origin) {
  const headers = new Headers();
  const query = new URLSearchParams();
  let filled = path;
  for (const input of form.querySelectorAll("[data-place]")) {
    if (input.dataset.place === "path") filled = filled.replace(`{${input.name}}`, encodeURIComponent(input.value));
    else if (input.value && input.dataset.place === "query") query.set(input.name, input.value);
    else if (input.value) headers.set(input.name, input.value);
  }
  const token = document.getElementById("token").value.trim();
  if (token) headers.set("authorization", `Bearer ${token}`);
  const body = form.elements.body?.value;
  if (body) headers.set("content-type", form.elements["content-type"].value);
  const target = origin + filled + (query.size ? `?${query}` : "");
  return [target, { method: method.toUpperCase(), headers, body: body || undefined, credentials: "omit" }];
}

async function send(form, output, ...operation) {
  output.textContent = "…";
  try {
    const response = await fetch(...request(form, ...operation));
    const head = [...response.headers].map(([name, value]) => `${name}: ${value}\n`).join("");
    output.textContent = `${response.status}\n${head}\n${await response.text()}`;
  } catch (error) {
    output.textContent = String(error);
  }
}

function operationDetails(method, path, item) {
  const operation = item[method];
  const origin = item.servers ? location.origin : base;
  const output = element("pre", {});
  const fields = (operation.parameters ?? []).map(parameterField);
  const body = operation.requestBody ? bodyFields(operation.requestBody) : [];
  const form = element("form", {}, ...fields, ...body, element("p", {}, element("button", {}, "Send")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form, output, method, path, origin);
  });
  const schemes = operation.security.map((scheme) => Object.keys(scheme).join(" and ") || "no token");
  const access = element("p", { className: "note" }, `Access: ${schemes.join(", or ") || "public"}`);
  const inside = element("div", { className: "inside" }, access, form, output, element("h3", {}, "Responses"));
  inside.append(...responses(operation));
  const name = [element("span", { className: "method" }, method.toUpperCase()), element("span", { className: "path" }, path)];
  const details = element("details", { id: operation.operationId });
  details.append(element("summary", {}, ...name, element("div", { className: "note" }, operation.summary)), inside);
  return details;
}

function show() {
  const main = document.querySelector("main");
  main.replaceChildren();
  document.querySelector("h1").textContent = `${api.info.title} ${api.info.version}`;
  for (const tag of api.tags) {
    main.append(element("h2", {}, tag.name));
    for (const [path, item] of Object.entries(api.paths)) {
      const methods = METHODS.filter((method) => item[method]?.tags.includes(tag.name));
      main.append(...methods.map((method) => operationDetails(method, path, item)));
    }
  }
}

async function load() {
  const response = await fetch(`${base}/api/openapi`);
  if (!response.ok) throw new Error(`the document cannot be loaded: ${response.status}`);
  api = await response.json();
  show();
}

load().catch((error) => {
  document.querySelector("main").textContent = String(error);
});
