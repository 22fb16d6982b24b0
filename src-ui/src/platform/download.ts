/** Hands files to the browser's own downloads. */

export function download(href: string, name: string): void {
  const link = document.createElement('a');
  link.href = href;
  link.download = name;
  link.click();
}

export function downloadBlob(file: Blob, name: string): void {
  const url = URL.createObjectURL(file);
  download(url, name);
  // The browser reads the address after this turn.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
