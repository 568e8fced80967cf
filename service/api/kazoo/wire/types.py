"""Types of fields in responses, with their schemas."""

from typing import Annotated

from msgspec import Meta

HexId = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
MessageIdString = Annotated[str, Meta(pattern="^[0-9]{4}(0[1-9]|1[0-2])-[0-9a-f]{32}$")]
DateTimeString = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Count = Annotated[int, Meta(ge=0)]
GregorianSeconds = Annotated[int, Meta(description="Gregorian seconds")]
