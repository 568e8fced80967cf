"""The mailbox dialect: a reseller's view of boxes, under `/voip`."""
