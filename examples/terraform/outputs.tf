output "address" {
  value       = azurerm_network_interface.sidecar.private_ip_address
  description = "Where peers connect, on port 8443"
}

output "spiffe_id" {
  value       = "spiffe://${var.trust_domain}/${var.service}"
  description = "Who the sidecar proves to be"
}
