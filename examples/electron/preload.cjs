// What the window may call.
const { contextBridge, ipcRenderer } = require("electron");

contextBridge.exposeInMainWorld("vitrail", {
  choose: () => ipcRenderer.invoke("choose"),
  classify: (path) => ipcRenderer.invoke("classify", path),
});
