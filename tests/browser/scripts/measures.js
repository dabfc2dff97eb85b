() => {
  const [load] = performance.getEntriesByType("navigation");
  return {
    interactive_s: load.domContentLoadedEventEnd / 1000,
    loaded_s: load.loadEventEnd / 1000,
    shift: shifts.reduce((sum, value) => sum + value, 0),
  };
}
