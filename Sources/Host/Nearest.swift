/// The one of `names` that `word` is most probably a slip of; nil when none is near.
public func nearest(to word: String, among names: [String]) -> String? {
  let ranked = names.map { (name: $0, distance: distance(word, $0)) }.min { $0.distance < $1.distance }
  guard let best = ranked, best.distance <= max(1, max(word.count, best.name.count) / 3) else { return nil }
  return best.name
}

/// How many letters must be added, removed, replaced or swapped with their neighbour.
private func distance(_ a: String, _ b: String) -> Int {
  let (a, b) = (Array(a.lowercased()), Array(b.lowercased()))
  var rows = [Array(0...b.count)]
  for i in 1..<(a.count + 1) {
    var row = [i]
    for j in 1..<(b.count + 1) {
      var least = min(row[j - 1] + 1, rows[i - 1][j] + 1, rows[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1))
      if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] { least = min(least, rows[i - 2][j - 2] + 1) }
      row.append(least)
    }
    rows.append(row)
  }
  return rows[a.count][b.count]
}
