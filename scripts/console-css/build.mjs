// Makes what the console serves from what it is built of: Tabler's CSS, cut down to what the templates use, Tabler's
// icons as a macro, and htmx, each with its licence. Run `npm ci && npm run build` here after a change of templates.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { transform } from "lightningcss";
import postcss from "postcss";
import { PurgeCSS } from "purgecss";

const here = dirname(fileURLToPath(import.meta.url));
const web = join(here, "../../src/otpost/web");
const packages = join(here, "node_modules");
const read = (...parts) => readFileSync(join(...parts), "utf8");

const ICONS = {
  alert: "alert-triangle",
  apps: "apps",
  back: "arrow-left",
  book: "book",
  check: "check",
  copy: "copy",
  dashboard: "layout-dashboard",
  external: "external-link",
  eye: "eye",
  info: "info-circle",
  menu: "menu-2",
  message: "message",
  phone: "device-mobile",
  plus: "plus",
  remove: "trash",
  route: "route",
  search: "search",
  settings: "settings",
  shield: "shield-check",
  user: "user",
};

// Modules name colours and tones that templates put into class names.
const sources = ["templates", ".", "rooms"].flatMap((folder) =>
  readdirSync(join(web, folder))
    .filter((name) => /\.(html|py)$/.test(name))
    .map((name) => ({ raw: read(web, folder, name), extension: "html" })),
);
sources.push({ raw: read(web, "static/otpost.js"), extension: "html" });

function inAuto(css) {
  // `auto` follows the system: what holds for `dark` holds for it as well where the system prefers dark.
  const root = postcss.parse(css);
  const dark = /\[data-bs-theme="?dark"?\]/;
  root.walkRules((rule) => {
    const kept = rule.selectors.filter((selector) => !/navbar-theme|data-theme|\[data-bs-theme="?dark"?\] \[data-bs-theme="?light"?\]/.test(selector));
    if (kept.length === 0) return rule.remove();
    if (kept.length < rule.selectors.length) rule.selectors = kept;
    const own = rule.selectors.filter((selector) => dark.test(selector) && !selector.includes(":not("));
    if (own.length === 0) return undefined;
    const media = postcss.atRule({ name: "media", params: "(prefers-color-scheme: dark)" });
    media.append(rule.clone({ selectors: own.map((selector) => selector.replace(dark, "[data-bs-theme=auto]")) }));
    rule.after(media);
    return undefined;
  });
  return root.toString();
}

const [purged] = await new PurgeCSS().purge({
  content: sources,
  css: [{ raw: inAuto(read(packages, "@tabler/core/dist/css/tabler.css")) }],
  defaultExtractor: (text) => text.match(/[A-Za-z0-9_-]+/g) || [],
  safelist: { standard: [/^data-bs-theme$/], greedy: [/data-bs-theme/] , variables: [] },
  blocklist: ["placeholder", "page", "navbar", "nav", "theme-dark", "offcanvas", "modal", "dropdown", "carousel", "accordion", "datagrid"],
  keyframes: true,
  fontFace: true,
  variables: true,
});
const small = transform({ filename: "tabler.css", code: Buffer.from(purged.css), minify: true });
const licence = read(packages, "@tabler/icons/LICENSE");
const tabler = JSON.parse(read(packages, "@tabler/core/package.json")).version;
const banner = `/*! Tabler ${tabler}, https://tabler.io, MIT, Copyright 2018-2026 The Tabler Authors, codecalm.net Paweł Kuna; cut down to what the console uses */\n`;
writeFileSync(join(web, "static/tabler.css"), banner + small.code.toString() + "\n");

const htmx = JSON.parse(read(packages, "htmx.org/package.json")).version;
writeFileSync(
  join(web, "static/htmx.min.js"),
  `/*! htmx ${htmx}, https://htmx.org, Zero-Clause BSD */\n` + read(packages, "htmx.org/dist/htmx.min.js").trimEnd() + "\n",
);
writeFileSync(
  join(web, "static/licences.txt"),
  `Tabler ${tabler} (tabler.css, the icons in the pages)\n\n${licence.trim()}\n\n\nhtmx ${htmx} (htmx.min.js)\n\n${read(packages, "htmx.org/LICENSE").trim()}\n`,
);

const shapes = Object.entries(ICONS).map(([name, file]) => {
  const svg = read(packages, "@tabler/icons/icons/outline", `${file}.svg`);
  const inner = [...svg.matchAll(/<(path|circle|rect|line|polyline)\b[^>]*>/g)]
    .map((match) => match[0].replace(/\s+/g, " "))
    .filter((shape) => !shape.includes('stroke="none"'))
    .join("");
  return `  "${name}": '${inner}',`;
});
writeFileSync(
  join(web, "templates/icons.html"),
  `{# Made by scripts/console-css from Tabler Icons (MIT, see static/licences.txt); "mark" is Otpost's own. #}
{% set shapes = {
  "mark": '<path d="M4 6h16v10h-9l-4 4v-4h-3z" /><path d="M9 11h.01" /><path d="M12 11h.01" /><path d="M15 11h.01" />',
${shapes.join("\n")}
} %}
{% macro icon(name) %}
<svg class="icon" viewBox="0 0 24 24" width="24" height="24" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">{{ shapes[name]|safe }}</svg>
{%- endmacro %}
`,
);
