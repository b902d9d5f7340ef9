"""Railway lines with exact labels in RailSem19's classes.

track -> line (what lies where) -> camera -> render -> scene -> files
                                              canvas of edge.synthetic <- ground, rails, scenery, stations, equipment,
                                                                          structures, traffic with trains and people

Seen from a driver's cab, from beside the track, from a platform or from a mast: open country, woods, suburbs, stations,
yards, mountains with tunnels, and streets with tram tracks. Light, weather, lens, houses, cars and people are those
of the drawn streets. Everything is drawn from far to near, in metres: the gauge is 1.435 m at every distance.

All 19 classes occur in a set of some dozen pictures; classes.py says what each means here.
"""
