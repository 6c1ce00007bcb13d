// The main process: it has the model, and classifies what the window asks for.
import { fileURLToPath } from "node:url";
import { app, BrowserWindow, dialog, ipcMain } from "electron";
import { load } from "vitrail";

const vit = load();

ipcMain.handle("choose", async () => {
  const filters = [{ name: "Images", extensions: ["jpg", "jpeg", "png", "webp", "gif"] }];
  const { filePaths } = await dialog.showOpenDialog({ properties: ["openFile"], filters });
  return filePaths[0];
});
ipcMain.handle("classify", async (_, path) => (await vit).classify(path, { topK: 3 }));

await app.whenReady();
const preload = fileURLToPath(new URL("preload.cjs", import.meta.url));
const window = new BrowserWindow({ width: 480, height: 320, webPreferences: { preload } });
await window.loadFile(fileURLToPath(new URL("index.html", import.meta.url)));
app.on("window-all-closed", () => app.quit());
