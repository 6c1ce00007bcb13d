/** What screen readers are told, without anything moving on the page. */
const region = Object.assign(document.createElement("div"), { className: "unseen" });
region.setAttribute("role", "status");
document.body.append(region);

export function say(text: string): void {
  region.textContent = text;
}
