# Asked after `allow` and routes have said yes. It can take that back, and never give more.
package myelin

default allow := {"allow": false, "reason": "after hours"}

allow := {"allow": true} if may

# During office hours, where the hospital is.
may if {
	now := [time.parse_rfc3339_ns(input.now), data.office.zone]
	time.weekday(now) in data.office.days
	[hour, _, _] := time.clock(now)
	hour >= data.office.from
	hour < data.office.to
}

# The laboratory never closes, and reads single records only.
may if {
	input.myelin.peer in data.after_hours
	is_of_a_record
}

# A connection by itself gives nothing: each request on it is asked about.
may if input.event.action == "connection-allowed"

is_of_a_record if {
	input.http.request.method == "GET"
	input.url.path == "/records/{id}"
}
