// The form for new jobs: pictures are dropped into it and listed until the job is started.

import { button, byId, draw, make, setText } from "./element.js";
import { count, unwrapped } from "./format.js";
import { Upload } from "./upload.js";
import { Preflight, isWorkflow, checkWorkflow } from "./preflight.js";
import { Ticket } from "./ticket.js";

const EDGE = 96; // pixels of a thumbnail's longer edge, on any screen

/** The form for new videos. */
export class Drop {
  #files = []; // each with its frame, and its size once that is known
  #ticket = new Ticket("new");

  constructor(library, recipes) {
    this.library = library;
    this.recipes = recipes;
    this.form = byId("drop-form");
    this.choice = byId("drop-recipe");
    this.preflight = new Preflight(byId("preflight"), () => this.#request());
    byId("drop-fields").append(this.#ticket.node);
    this.#ticket.show(null);
    this.#listen();
    this.#show();
  }

  get #recipe() {
    return this.recipes.get(this.choice.value) ?? this.recipes.standard ?? null;
  }

  #listen() {
    this.recipes.addEventListener("change", () => this.#offer());
    this.choice.addEventListener("change", () => this.#choose());
    byId("files").addEventListener("change", ({ target }) => {
      this.#add([...target.files]);
      target.value = "";
    });
    for (const kind of ["input", "change"]) this.form.addEventListener(kind, () => this.preflight.changed());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
    });
    byId("swap").addEventListener("click", () => {
      this.#files.reverse();
      this.#show();
      this.preflight.changed();
    });
    // A picture dropped next to the form must not replace the page, so the whole page catches it.
    for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
      document.addEventListener(kind, (event) => {
        if (!event.dataTransfer?.types.includes("Files")) return;
        event.preventDefault();
        this.form.classList.toggle("over", kind === "dragenter" || kind === "dragover");
        if (kind === "drop") this.#add([...event.dataTransfer.files]);
      });
    }
    addEventListener("paste", ({ clipboardData }) => this.#add([...(clipboardData?.files ?? [])]));
  }

  #offer() {
    const before = this.choice.value;
    const options = this.recipes.all.map(({ name, title, tags, problem }) => {
      const note = problem ? " (invalid)" : tags?.includes("experimental") ? " (experimental)" : "";
      return make("option", { value: name, disabled: Boolean(problem) }, (title || name) + note);
    });
    this.choice.replaceChildren(...options);
    this.choice.value = this.recipes.get(before) ? before : this.recipes.standard?.name ?? "";
    this.#choose();
  }

  #choose() {
    const recipe = this.#recipe;
    this.#ticket.show(recipe);
    setText(byId("drop-guidance"), unwrapped(recipe?.guidance ?? ""));
    byId("drop-about").hidden = !recipe?.guidance;
    this.#show();
  }

  // What the linter is asked: the ticket, and how large the first picture is.
  #request() {
    const values = this.#ticket.values();
    if (!this.#files.length && !Object.keys(values).length) return null;
    const size = this.#files[0]?.size;
    return { ticket: this.#named(values), ...(size ? { picture: size } : {}) };
  }

  #named(values) {
    const recipe = this.#recipe;
    return { ...(recipe ? { recipe: recipe.name } : {}), ...values };
  }

  #add(files) {
    for (const file of files.filter(isWorkflow)) checkWorkflow(file);
    const pictures = files.filter((file) => !isWorkflow(file));
    if (!pictures.length) return;
    for (const file of pictures) {
      const each = { file, size: null };
      each.frame = frame(file, (size) => {
        each.size = size;
        this.preflight.changed();
      });
      this.#files.push(each);
    }
    this.#show();
    this.preflight.changed();
    byId("make").focus({ preventScroll: true });
  }

  #show() {
    const recipe = this.#recipe;
    const pairs = recipe?.pictures === 2;
    const many = Math.ceil(this.#files.length / (pairs ? 2 : 1));
    byId("dropped").replaceChildren(...this.#files.map((each, number) => {
      const place = pairs ? make("span", { class: "place" }, number % 2 ? "last" : "first") : null;
      const remove = button("×", () => this.#remove(each), { class: "remove", "aria-label": `Remove ${each.file.name}` });
      return make("li", {}, each.frame, place, make("span", { class: "name" }, each.file.name), remove);
    }));
    byId("swap").hidden = !(pairs && this.#files.length === 2);
    const wanted = pairs ? "the first and the last picture" : recipe?.clip ? "videos" : "pictures";
    setText(byId("drop-words"), `Drop ${wanted} here`);
    byId("make").disabled = !many;
    byId("make").textContent = many > 1 ? `Make ${count(many, "video")}` : "Make the video";
  }

  #remove(each) {
    this.#files = this.#files.filter((other) => other !== each);
    this.#show();
    this.preflight.changed();
    byId("files").focus();
  }

  #send() {
    if (!this.#files.length) return byId("files").focus();
    const recipe = this.#recipe;
    const ticket = this.#named(this.#ticket.values());
    const each = recipe?.pictures === 2 ? 2 : 1;
    const files = this.#files.map(({ file }) => file);
    this.#files = [];
    this.#ticket.clear();
    this.preflight.clear();
    this.#show();
    // One after the other: the first job can begin while the second picture is still on its way.
    let before = Promise.resolve();
    for (let at = 0; at < files.length; at += each) {
      const upload = new Upload(this.library, files.slice(at, at + each), ticket);
      byId("uploads").append(upload.node);
      before = before.then(() => upload.send());
    }
    return byId("files").focus({ preventScroll: true });
  }
}

function frame(file, measured) {
  const canvas = make("canvas", { width: EDGE, height: EDGE, "aria-hidden": "true" });
  if (!file.type.startsWith("image/")) return reel();
  createImageBitmap(file).then((image) => {
    measured({ width: image.width, height: image.height });
    const scale = EDGE / Math.max(image.width, image.height);
    canvas.width = Math.max(1, Math.round(image.width * scale));
    canvas.height = Math.max(1, Math.round(image.height * scale));
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    image.close();
  }, () => canvas.replaceWith(reel())); // HEIC, for one, only the service can read
  return canvas;
}

// What stands for a picture that the browser cannot draw.
function reel() {
  const bars = [8, 20, 32, 44].map((x) => draw("rect", { x, y: 12, width: 6, height: 34, rx: 1 }));
  return draw("svg", { viewBox: "0 0 58 58", class: "reel", "aria-hidden": "true" }, ...bars);
}
